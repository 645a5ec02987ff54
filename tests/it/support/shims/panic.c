/* Preloaded into the program under test: makes one thread panic. Rust's library panics if the system gives it no time.
 *
 * PANIC_THREAD: the name of the thread.
 * PANIC_FILE:   its first reading of the monotonic clock fails once this file exists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int has_failed;

static int must_fail(void) {
    const char *thread = getenv("PANIC_THREAD"), *path = getenv("PANIC_FILE");
    char name[16] = {0};
    if (!thread || !path || pthread_getname_np(pthread_self(), name, sizeof name) || strcmp(name, thread)) return 0;
    return access(path, F_OK) == 0 && !__atomic_exchange_n(&has_failed, 1, __ATOMIC_SEQ_CST);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock == CLOCK_MONOTONIC && must_fail()) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}
