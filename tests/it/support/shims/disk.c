/* Makes calls of the C library on files below one directory fail or hang, on command.
 *
 * Loaded with LD_PRELOAD. SHIM_DIRECTORY names the directory, SHIM_CONTROL a file of 4096 bytes that both
 * sides map or write: shim.rs beside this file describes its fields. The shim does not see calls that are made
 * without the C library, such as fallocate. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { CREATE, OPEN, READ, WRITE, SYNC, CUT, RENAME, UNLINK, SYNC_RANGE, LIST, THREAD };
enum { FAIL, HANG, TORN };

struct control {
    volatile long armed, error, operations, mode, torn;
    char unused[88];
    char part[128]; /* only paths that contain this */
};

static struct control *control;
static const char *directory;

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("SHIM_CONTROL");
    directory = getenv("SHIM_DIRECTORY");
    if (!path || !directory) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (mapped != MAP_FAILED) control = mapped;
}

static int concerns(const char *path) {
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) || (path[length] && path[length] != '/')) return 0;
    return !control->part[0] || strstr(path, control->part);
}

/* The result of a call: 0, or its error. */
static int verdict(int operation, const char *path) {
    if (!control || !control->armed || !(control->operations >> operation & 1)) return 0;
    if (path && !concerns(path)) return 0;
    if (control->mode == HANG) {
        while (control->armed) usleep(2000);
        return 0;
    }
    return (int)control->error;
}

static int verdict_on(int operation, int file) {
    if (!control || !control->armed || !(control->operations >> operation & 1)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return verdict(operation, path);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define REFUSE(error) \
    do { int because = (error); if (because) { errno = because; return -1; } } while (0)
#define OPENS(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR) ? CREATE : (flags) & O_DIRECTORY ? LIST : OPEN)

#define OPEN_LIKE(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        REFUSE(verdict(OPENS(flags), path)); \
        return real(path, flags, mode); \
    }
OPEN_LIKE(open)
OPEN_LIKE(open64)

#define READ_LIKE(name, rest, ...) \
    ssize_t name rest { REAL(name); REFUSE(verdict_on(READ, file)); return real(__VA_ARGS__); }
READ_LIKE(read, (int file, void *to, size_t bytes), file, to, bytes)
READ_LIKE(pread64, (int file, void *to, size_t bytes, off64_t at), file, to, bytes, at)

/* The first failing write may leave half of its bytes. */
static int tears(void) {
    return control->mode == TORN && __atomic_exchange_n(&control->torn, 1, __ATOMIC_SEQ_CST) == 0;
}

#define WRITE_LIKE(name, rest, whole, half) \
    ssize_t name rest { \
        REAL(name); \
        int refused = verdict_on(WRITE, file); \
        if (refused && bytes > 1 && tears()) return half; \
        REFUSE(refused); \
        return whole; \
    }
WRITE_LIKE(write, (int file, const void *from, size_t bytes), real(file, from, bytes), real(file, from, bytes / 2))
WRITE_LIKE(pwrite64, (int file, const void *from, size_t bytes, off64_t at), real(file, from, bytes, at),
           real(file, from, bytes / 2, at))

#define ON_FILE(name, operation, rest, ...) \
    int name rest { REAL(name); REFUSE(verdict_on(operation, file)); return real(__VA_ARGS__); }
ON_FILE(fsync, SYNC, (int file), file)
ON_FILE(fdatasync, SYNC, (int file), file)
ON_FILE(ftruncate, CUT, (int file, off_t length), file, length)
ON_FILE(ftruncate64, CUT, (int file, off64_t length), file, length)
ON_FILE(sync_file_range, SYNC_RANGE, (int file, off64_t at, off64_t bytes, unsigned how), file, at, bytes, how)

int rename(const char *from, const char *to) { REAL(rename); REFUSE(verdict(RENAME, to)); return real(from, to); }
int link(const char *from, const char *to) { REAL(link); REFUSE(verdict(RENAME, to)); return real(from, to); }
int unlink(const char *path) { REAL(unlink); REFUSE(verdict(UNLINK, path)); return real(path); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); REFUSE(verdict(CREATE, path)); return real(path, mode); }

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
    REAL(pthread_create);
    int refused = verdict(THREAD, NULL);
    return refused ? refused : real(thread, how, run, with);
}
