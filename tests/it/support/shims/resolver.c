/* Preloaded into the program under test: a system resolver that hangs.
 *
 * HANG_NAME: the name at which it hangs. It resolves every other name as usual.
 * HANG_FILE: a file to which it appends a byte for each look-up that begins to hang; once the file is gone they
 *            fail, as after a time-out.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    const char *name = getenv("HANG_NAME"), *path = getenv("HANG_FILE");
    if (name && path && node && strcmp(node, name) == 0) {
        int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (file >= 0) {
            ssize_t written = write(file, ".", 1);
            (void)written;
            close(file);
        }
        while (access(path, F_OK) == 0) usleep(20000);
        return EAI_AGAIN;
    }
    lookup next = (lookup)dlsym(RTLD_NEXT, "getaddrinfo");
    return next ? next(node, service, hints, found) : EAI_FAIL;
}
