/* Preloaded into the program under test: moves its wall clock, and nothing else, by what a file says.
 *
 * CLOCK_SHIFT_FILE: a file with a number of seconds, which may be negative. Read at every look at the
 *                   clock, so that it can be set while the program runs.
 * CLOCK_BOOT_FILE:  what the program finds in place of the system's boot id, as after a reboot. The time since
 *                   boot stays as it is: it is not asked for through the C library.
 * CLOCK_KILL_FILE:  while there is such a file, the program is killed when it opens a file `clock` to write to it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char BOOT_ID[] = "/proc/sys/kernel/random/boot_id";

static long long shift(void) {
    const char *path = getenv("CLOCK_SHIFT_FILE");
    char text[32] = {0};
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? atoll(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += shift();
    return (int)result;
}

static const char *instead(const char *path) {
    const char *other = getenv("CLOCK_BOOT_FILE");
    return other && strcmp(path, BOOT_ID) == 0 ? other : path;
}

static void killed_before_a_mark(const char *path, int flags) {
    const char *asked = getenv("CLOCK_KILL_FILE"), *name = strrchr(path, '/');
    if ((flags & O_ACCMODE) == O_RDONLY || !name || strcmp(name, "/clock") != 0) return;
    if (asked && access(asked, F_OK) == 0) kill(getpid(), SIGKILL);
}

#define OPEN(name)                                                   \
    int name(const char *path, int flags, ...) {                     \
        va_list more;                                                \
        va_start(more, flags);                                       \
        int mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(more, int) : 0; \
        va_end(more);                                                \
        killed_before_a_mark(path, flags);                           \
        return (int)syscall(SYS_openat, AT_FDCWD, instead(path), flags, mode); \
    }

OPEN(open)
OPEN(open64)
