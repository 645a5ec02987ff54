/*
 * Preloaded into a program, this writes a trace of every change of files below one directory: writes,
 * new names, removals, cuts, and the begin and end of each sync. One lock orders all threads. From the
 * trace the tests build the disks that a power cut may leave.
 *
 *   POWER_ROOT   the directory
 *   POWER_TRACE  a directory for traces; each process makes the next file 0, 1, 2, ... in it
 *   POWER_KILL_AT_SNAPSHOT  a number: kills the process when this many snapshots have their names, before it
 *                does anything else
 *   POWER_KILL_IN_SNAPSHOT  a number: kills the process when it has written to the database of a snapshot
 *                beyond this many bytes
 *
 * Changes that the shim cannot follow (shared writable mappings, copies made by the kernel) end the
 * program. The shim does not see system calls made without the C library; it finds their effect on a
 * file's length by comparing it at the next write or sync.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    HAS_DIR = 1, HAS_FILE, HAS_DATA, HAS_ALL,
    CREATE, MKDIR, UNLINK, RENAME, LINK,
    WRITE, SIZE, SYNC_BEGIN, SYNC_END, NO_SYNC,
};

struct event {
    uint32_t kind, name_bytes;
    uint64_t data_bytes, ino, a, b;
};

#define SLOTS (1u << 16)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static dev_t device;
static uint64_t watched[SLOTS];
static uint64_t syncs;
static long snapshots_to_name = -1;
static uint64_t new_database, killed_behind = UINT64_MAX;

static void give_up(const char *why) {
    dprintf(2, "power trace: %s: %s\n", why, strerror(errno));
    _exit(97);
}

/* Inode numbers are never 0. */
static int is_watched(uint64_t ino) {
    for (uint32_t i = (uint32_t)(ino * 2654435761u) % SLOTS;; i = (i + 1) % SLOTS) {
        uint64_t found = __atomic_load_n(&watched[i], __ATOMIC_ACQUIRE);
        if (found == ino) return 1;
        if (!found) return 0;
    }
}

static void watch(uint64_t ino) {
    static uint32_t used;
    if (is_watched(ino)) return;
    if (++used > SLOTS / 2) give_up("too many files");
    uint32_t i = (uint32_t)(ino * 2654435761u) % SLOTS;
    while (watched[i]) i = (i + 1) % SLOTS;
    __atomic_store_n(&watched[i], ino, __ATOMIC_RELEASE);
}

static void note(enum kind kind, uint64_t ino, uint64_t a, uint64_t b, const char *name,
                 const struct iovec *data, int parts, size_t data_bytes) {
    struct event event = {kind, name ? (uint32_t)strlen(name) : 0, data_bytes, ino, a, b};
    struct iovec all[2 + parts];
    all[0] = (struct iovec){&event, sizeof event};
    all[1] = (struct iovec){(void *)name, event.name_bytes};
    size_t rest = data_bytes;
    for (int i = 0; i < parts; i++) {
        size_t part = data[i].iov_len < rest ? data[i].iov_len : rest;
        all[2 + i] = (struct iovec){data[i].iov_base, part};
        rest -= part;
    }
    ssize_t wanted = (ssize_t)(sizeof event + event.name_bytes + data_bytes);
    if (syscall(SYS_writev, trace, all, 2 + parts) != wanted) give_up("the trace cannot be written");
}

static void note_plain(enum kind kind, uint64_t ino, uint64_t a, uint64_t b, const char *name) {
    note(kind, ino, a, b, name, NULL, 0, 0);
}

/* Notes the files that exist when the process starts, with their bytes. */
static void list(int dir_fd, uint64_t dir_ino) {
    watch(dir_ino);
    DIR *dir = fdopendir(dir_fd);
    if (!dir) give_up("a directory cannot be read");
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(dirfd(dir), entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) give_up(entry->d_name);
        if (!S_ISDIR(found.st_mode) && !S_ISREG(found.st_mode)) continue;
        int fd = (int)syscall(SYS_openat, dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) give_up(entry->d_name);
        if (S_ISDIR(found.st_mode)) {
            note_plain(HAS_DIR, dir_ino, found.st_ino, 0, entry->d_name);
            list(fd, found.st_ino);
            continue;
        }
        watch(found.st_ino);
        note_plain(HAS_FILE, dir_ino, found.st_ino, (uint64_t)found.st_size, entry->d_name);
        static char buffer[1 << 16];
        off_t at = 0;
        while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
            ssize_t bytes = pread(fd, buffer, sizeof buffer, at);
            if (bytes <= 0) break;
            struct iovec data = {buffer, (size_t)bytes};
            note(HAS_DATA, found.st_ino, (uint64_t)at, 0, NULL, &data, 1, (size_t)bytes);
            at += bytes;
        }
        close(fd);
    }
    closedir(dir);
}

__attribute__((constructor)) static void begin(void) {
    const char *root = getenv("POWER_ROOT"), *traces = getenv("POWER_TRACE");
    char path[PATH_MAX], command[64] = "";
    int comm = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (comm >= 0) {
        if (read(comm, command, sizeof command - 1) < 0) command[0] = 0;
        close(comm);
    }
    /* A shell that only starts the program. */
    if (!root || !traces || !strcmp(command, "sh\n") || !strcmp(command, "dash\n")) return;
    struct stat found;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found)) give_up(root);
    for (int next = 0; trace < 0; next++) {
        snprintf(path, sizeof path, "%s/%d", traces, next);
        int made = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
        if (made < 0 && errno != EEXIST) give_up(path);
        trace = made;
    }
    const char *kill_at = getenv("POWER_KILL_AT_SNAPSHOT");
    if (kill_at) snapshots_to_name = atol(kill_at);
    const char *kill_in = getenv("POWER_KILL_IN_SNAPSHOT");
    if (kill_in) killed_behind = strtoull(kill_in, NULL, 10);
    device = found.st_dev;
    note_plain(HAS_DIR, 0, found.st_ino, 0, NULL);
    list(fd, found.st_ino);
    note_plain(HAS_ALL, 0, 0, 0, NULL);
}

#define REAL(name) ({ \
    static typeof(&name) real; \
    typeof(&name) found_ = __atomic_load_n(&real, __ATOMIC_ACQUIRE); \
    if (!found_) { found_ = (typeof(&name))dlsym(RTLD_NEXT, #name); __atomic_store_n(&real, found_, __ATOMIC_RELEASE); } \
    found_; })

/* Runs a call in the common order. Notes after it keep the error of the call. */
#define IN_ORDER(type, call, ...) ({ \
    pthread_mutex_lock(&lock); \
    type result_ = (call); \
    int error_ = errno; \
    if (result_ != (type)-1) { __VA_ARGS__; } \
    pthread_mutex_unlock(&lock); \
    errno = error_; \
    result_; })

static uint64_t ino_of(int fd, uint64_t *bytes) {
    struct stat found;
    int error = errno;
    uint64_t ino = 0;
    if (trace >= 0 && !fstat(fd, &found) && found.st_dev == device &&
        (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode)) && is_watched(found.st_ino)) {
        ino = found.st_ino;
        if (bytes) *bytes = (uint64_t)found.st_size;
    }
    errno = error;
    return ino;
}

/* The inode of the directory that a path's last name is in, if it is watched. */
static uint64_t parent_of(int dir_fd, const char *path, char name[NAME_MAX + 1]) {
    char parent[PATH_MAX];
    struct stat found;
    int error = errno;
    size_t bytes = path ? strlen(path) : 0;
    while (bytes > 1 && path[bytes - 1] == '/') bytes--;
    if (trace < 0 || !bytes || bytes >= sizeof parent) return 0;
    memcpy(parent, path, bytes);
    parent[bytes] = 0;
    char *slash = strrchr(parent, '/');
    const char *last = slash ? slash + 1 : parent;
    if (strlen(last) > NAME_MAX) return 0;
    strcpy(name, last);
    if (slash == parent) slash++;
    if (slash) *slash = 0;
    int failed = fstatat(dir_fd, slash ? parent : ".", &found, 0);
    errno = error;
    return !failed && found.st_dev == device && is_watched(found.st_ino) ? found.st_ino : 0;
}

static uint64_t ino_at(int dir_fd, const char *path) {
    struct stat found;
    int error = errno;
    int failed = fstatat(dir_fd, path, &found, AT_SYMLINK_NOFOLLOW);
    errno = error;
    return failed ? 0 : found.st_ino;
}

static void opened(int fd, int dir_fd, const char *path, int flags, uint64_t before) {
    char name[NAME_MAX + 1];
    struct stat found;
    uint64_t parent = parent_of(dir_fd, path, name);
    if (!parent || fstat(fd, &found)) return;
    if (!before) {
        watch(found.st_ino);
        note_plain(CREATE, parent, found.st_ino, 0, name);
        if (!strcmp(name, "db")) new_database = found.st_ino;
    } else if (flags & O_TRUNC) {
        note_plain(SIZE, found.st_ino, 0, 0, NULL);
    }
}

#define OPEN_MODE(flags) ({ \
    mode_t mode_ = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest_; va_start(rest_, flags); mode_ = va_arg(rest_, mode_t); va_end(rest_); } \
    mode_; })

#define OPEN(call, dir_fd, path, flags) ({ \
    int opened_; \
    if (trace < 0 || !((flags) & (O_CREAT | O_TRUNC))) { \
        opened_ = (call); \
    } else { \
        uint64_t before_; \
        opened_ = IN_ORDER(int, (before_ = ino_at(dir_fd, path), call), opened(result_, dir_fd, path, flags, before_)); \
    } \
    opened_; })

int open(const char *path, int flags, ...) {
    mode_t mode = OPEN_MODE(flags);
    return OPEN(REAL(open)(path, flags, mode), AT_FDCWD, path, flags);
}
int open64(const char *path, int flags, ...) {
    mode_t mode = OPEN_MODE(flags);
    return OPEN(REAL(open64)(path, flags, mode), AT_FDCWD, path, flags);
}
int openat(int dir_fd, const char *path, int flags, ...) {
    mode_t mode = OPEN_MODE(flags);
    return OPEN(REAL(openat)(dir_fd, path, flags, mode), dir_fd, path, flags);
}
int openat64(int dir_fd, const char *path, int flags, ...) {
    mode_t mode = OPEN_MODE(flags);
    return OPEN(REAL(openat64)(dir_fd, path, flags, mode), dir_fd, path, flags);
}

/* The offset at which write() writes. */
static uint64_t present_place(int fd, uint64_t bytes) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_APPEND) ? bytes : (uint64_t)lseek(fd, 0, SEEK_CUR);
}

/* `at` may use `before`, the length of the file before the call. */
#define WRITTEN(call, at, parts, count) ({ \
    uint64_t before, ino_ = ino_of(fd, &before), at_; \
    ssize_t wrote_; \
    if (!ino_) wrote_ = (call); \
    else wrote_ = IN_ORDER(ssize_t, (ino_of(fd, &before), at_ = (uint64_t)(at), call), \
        note(WRITE, ino_, at_, before, NULL, parts, count, (size_t)result_); \
        if (ino_ == new_database && at_ >= killed_behind) kill(getpid(), SIGKILL)); \
    wrote_; })

ssize_t write(int fd, const void *buffer, size_t bytes) {
    struct iovec one = {(void *)buffer, bytes};
    return WRITTEN(REAL(write)(fd, buffer, bytes), present_place(fd, before), &one, 1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return WRITTEN(REAL(writev)(fd, parts, count), present_place(fd, before), parts, count);
}
ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t at) {
    return WRITTEN(REAL(pwrite)(fd, buffer, bytes, at), at, (&(struct iovec){(void *)buffer, bytes}), 1);
}
ssize_t pwrite64(int fd, const void *buffer, size_t bytes, off64_t at) {
    return WRITTEN(REAL(pwrite64)(fd, buffer, bytes, at), at, (&(struct iovec){(void *)buffer, bytes}), 1);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    return WRITTEN(REAL(pwritev)(fd, parts, count, at), at, parts, count);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    return WRITTEN(REAL(pwritev64)(fd, parts, count, at), at, parts, count);
}

/* The length after a call that changes it. */
static void resized(int fd, uint64_t ino) {
    uint64_t bytes = 0;
    ino_of(fd, &bytes);
    note_plain(SIZE, ino, 0, bytes, NULL);
}
#define RESIZED(call) ({ \
    uint64_t ino_ = ino_of(fd, NULL); \
    ino_ ? IN_ORDER(int, call, resized(fd, ino_)) : (call); })

int ftruncate(int fd, off_t bytes) { return RESIZED(REAL(ftruncate)(fd, bytes)); }
int ftruncate64(int fd, off64_t bytes) { return RESIZED(REAL(ftruncate64)(fd, bytes)); }
int fallocate(int fd, int mode, off_t at, off_t bytes) {
    if (mode && ino_of(fd, NULL)) give_up("fallocate in a mode that is not followed");
    return RESIZED(REAL(fallocate)(fd, mode, at, bytes));
}
int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
    if (mode && ino_of(fd, NULL)) give_up("fallocate in a mode that is not followed");
    return RESIZED(REAL(fallocate64)(fd, mode, at, bytes));
}

/* After the note of its end, a sync has made durable everything that was noted before its begin. */
#define SYNCED(call) ({ \
    uint64_t bytes_ = 0, ino_ = ino_of(fd, &bytes_), token_ = 0; \
    if (ino_) { \
        pthread_mutex_lock(&lock); \
        token_ = ++syncs; \
        ino_of(fd, &bytes_); \
        note_plain(SYNC_BEGIN, ino_, token_, bytes_, NULL); \
        pthread_mutex_unlock(&lock); \
    } \
    int synced_ = (call), error_ = errno; \
    if (ino_ && !synced_) { \
        pthread_mutex_lock(&lock); \
        note_plain(SYNC_END, ino_, token_, 0, NULL); \
        pthread_mutex_unlock(&lock); \
    } \
    errno = error_; \
    synced_; })

int fsync(int fd) { return SYNCED(REAL(fsync)(fd)); }
int fdatasync(int fd) { return SYNCED(REAL(fdatasync)(fd)); }
/* It syncs neither lengths nor the cache of the disk: it makes nothing durable. */
int sync_file_range(int fd, off64_t at, off64_t bytes, unsigned flags) {
    uint64_t ino = ino_of(fd, NULL);
    if (!ino) return REAL(sync_file_range)(fd, at, bytes, flags);
    return IN_ORDER(int, REAL(sync_file_range)(fd, at, bytes, flags), note_plain(NO_SYNC, ino, (uint64_t)at, (uint64_t)bytes, NULL));
}

#define AT_NAME(dir_fd, path, call, ...) ({ \
    char name[NAME_MAX + 1]; \
    uint64_t parent = parent_of(dir_fd, path, name); \
    parent ? IN_ORDER(int, call, __VA_ARGS__) : (call); })

static void made(int dir_fd, const char *path, uint64_t parent, const char *name) {
    uint64_t ino = ino_at(dir_fd, path);
    watch(ino);
    note_plain(MKDIR, parent, ino, 0, name);
}
int mkdir(const char *path, mode_t mode) {
    return AT_NAME(AT_FDCWD, path, REAL(mkdir)(path, mode), made(AT_FDCWD, path, parent, name));
}
int mkdirat(int dir_fd, const char *path, mode_t mode) {
    return AT_NAME(dir_fd, path, REAL(mkdirat)(dir_fd, path, mode), made(dir_fd, path, parent, name));
}
int unlink(const char *path) {
    return AT_NAME(AT_FDCWD, path, REAL(unlink)(path), note_plain(UNLINK, parent, 0, 0, name));
}
int rmdir(const char *path) {
    return AT_NAME(AT_FDCWD, path, REAL(rmdir)(path), note_plain(UNLINK, parent, 0, 0, name));
}
int unlinkat(int dir_fd, const char *path, int flags) {
    return AT_NAME(dir_fd, path, REAL(unlinkat)(dir_fd, path, flags), note_plain(UNLINK, parent, 0, 0, name));
}

/* Both names, with a slash between. */
static void renamed(uint64_t parent, const char *name, int dir_fd, const char *to) {
    char new_name[NAME_MAX + 1], both[2 * NAME_MAX + 2];
    uint64_t new_parent = parent_of(dir_fd, to, new_name);
    if (!new_parent) give_up("a file is moved out of the directory");
    snprintf(both, sizeof both, "%s/%s", name, new_name);
    note_plain(RENAME, parent, new_parent, 0, both);
    if (strchr(name, '-') && strstr(name, ".new") && !--snapshots_to_name) kill(getpid(), SIGKILL);
}
int rename(const char *from, const char *to) {
    return AT_NAME(AT_FDCWD, from, REAL(rename)(from, to), renamed(parent, name, AT_FDCWD, to));
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return AT_NAME(from_fd, from, REAL(renameat)(from_fd, from, to_fd, to), renamed(parent, name, to_fd, to));
}
int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    return AT_NAME(from_fd, from, REAL(renameat2)(from_fd, from, to_fd, to, flags), renamed(parent, name, to_fd, to));
}
int link(const char *from, const char *to) {
    return AT_NAME(AT_FDCWD, to, REAL(link)(from, to), note_plain(LINK, parent, ino_at(AT_FDCWD, to), 0, name));
}
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    return AT_NAME(to_fd, to, REAL(linkat)(from_fd, from, to_fd, to, flags),
                   note_plain(LINK, parent, ino_at(to_fd, to), 0, name));
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && ino_of(fd, NULL)) give_up("mmap");
    return REAL(mmap)(at, bytes, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off64_t offset) {
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && ino_of(fd, NULL)) give_up("mmap");
    return REAL(mmap64)(at, bytes, protection, flags, fd, offset);
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
    if (ino_of(to, NULL)) give_up("copy_file_range");
    return REAL(copy_file_range)(from, from_at, to, to_at, bytes, flags);
}
