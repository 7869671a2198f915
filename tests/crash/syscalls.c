/* Records the system calls that change the files of one folder, or lets some of them fail.

   Preloaded into a process (LD_PRELOAD), it stands between SQLite and the C library. SYSCALLS_FOLDER
   names the folder, without links; SYSCALLS_TRACE the file to which calls are appended, in their
   order over all processes that share it. syscalls_fail() and syscalls_counted() are for ctypes.

   It does not see memory maps, and leaves -shm files out: they do not outlive a power cut. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FILES 4096

enum { UNSEEN, DATA, FOLDER, JOURNAL };

struct header {
    uint8_t kind, failed;
    uint16_t name;
    uint32_t length;
    uint64_t inode;
    int64_t offset;
} __attribute__((packed));

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static int trace = -1;
static struct { uint8_t what; ino_t inode; } files[FILES];

/* Which calls fail: those from the `at`th to the one before the `until`th, of the kinds in `kinds`. */
static char kinds[16];
static long at, until, counted;
static int failure, half;

__attribute__((constructor)) static void start(void) {
    folder = getenv("SYSCALLS_FOLDER");
    const char *path = getenv("SYSCALLS_TRACE");
    if (path) trace = NEXT(open)(path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

/* Of some kinds ("r" read, "w" write, "t" truncate, "s" sync, "d" sync of the folder, "o" open,
   "l" link, "u" unlink), count the calls from now on, and let `times` of them fail from the `first`th on
   (0: none). With `halve`, the first one writes half, as on a full disk, and the next ones fail. */
void syscalls_fail(const char *which, long first, long times, int error, int halve) {
    pthread_mutex_lock(&turn);
    strncpy(kinds, which, sizeof kinds - 1);
    at = first, until = first ? first + times : 0, counted = 0, failure = error, half = halve;
    pthread_mutex_unlock(&turn);
}

long syscalls_counted(void) { return counted; }

/* The name of a file in the folder; "" for the folder itself, NULL for any other file. */
static const char *name_of(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    if (!length || strncmp(path, folder, length)) return NULL;
    if (!path[length]) return "";
    if (path[length] != '/' || strchr(path + length + 1, '/')) return NULL;
    const char *name = path + length + 1, *end = strrchr(name, '-');
    return end && !strcmp(end, "-shm") ? NULL : name;
}

static int what_is(const char *name) {
    if (!name) return UNSEEN;
    return !*name ? FOLDER : strncmp(name, "journal", 7) ? DATA : JOURNAL;
}

static int what_of(int fd) { return fd >= 0 && fd < FILES ? files[fd].what : UNSEEN; }

/* Take the turn: no other call, of this process or another one, comes between a call and its
   record. */
static void enter(void) {
    pthread_mutex_lock(&turn);
    if (trace >= 0) flock(trace, LOCK_EX);
}

static void leave(void) {
    int kept = errno;
    if (trace >= 0) flock(trace, LOCK_UN);
    pthread_mutex_unlock(&turn);
    errno = kept;
}

static void record(char kind, int failed, ino_t inode, const char *name, off_t offset,
                   const void *data, size_t length) {
    int kept = errno;
    struct header header = {kind, failed, strlen(name), length, inode, offset};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)name, header.name},
                            {(void *)data, data ? length : 0}};
    if (trace >= 0 && writev(trace, parts, 3) < 0) abort();
    errno = kept;
}

/* Whether this call has to fail. */
static int fails(char kind, int what) {
    if (what == UNSEEN || what == JOURNAL || !strchr(kinds, kind)) return 0;
    counted++;
    if (counted < at || counted >= until) return 0;
    errno = failure;
    return 1;
}

static int opened(int fd, const char *name, int flags, int existed) {
    struct stat found;
    if (fd < 0 || fd >= FILES || !name || fstat(fd, &found)) return fd;
    files[fd].what = what_is(name);
    files[fd].inode = found.st_ino;
    if (!existed) record('o', 0, found.st_ino, name, 0, NULL, 0);
    if (flags & O_TRUNC) record('t', 0, found.st_ino, "", 0, NULL, 0);
    return fd;
}

#define OPEN(call, path, flags)                                              \
    va_list rest;                                                            \
    va_start(rest, flags);                                                   \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                \
    va_end(rest);                                                            \
    const char *name = name_of(path);                                        \
    if (!name) return call;                                                  \
    enter();                                                                 \
    int existed = !*name || !access(path, F_OK), fd = -1;                    \
    if (!fails('o', what_is(name))) fd = opened(call, name, flags, existed); \
    leave();                                                                 \
    return fd

int open(const char *path, int flags, ...) { OPEN(NEXT(open)(path, flags, mode), path, flags); }
int open64(const char *path, int flags, ...) { OPEN(NEXT(open64)(path, flags, mode), path, flags); }
int openat(int at_fd, const char *path, int flags, ...) {
    OPEN(NEXT(openat)(at_fd, path, flags, mode), path, flags);
}
int openat64(int at_fd, const char *path, int flags, ...) {
    OPEN(NEXT(openat64)(at_fd, path, flags, mode), path, flags);
}

int close(int fd) {
    if (what_of(fd)) files[fd].what = UNSEEN;
    return NEXT(close)(fd);
}

#define READ(call)                                  \
    if (!what_of(fd)) return call;                  \
    enter();                                        \
    ssize_t done = -1;                              \
    if (!fails('r', what_of(fd))) done = call;      \
    leave();                                        \
    return done

ssize_t read(int fd, void *data, size_t length) { READ(NEXT(read)(fd, data, length)); }
ssize_t pread(int fd, void *data, size_t length, off_t offset) {
    READ(NEXT(pread)(fd, data, length, offset));
}
ssize_t pread64(int fd, void *data, size_t length, off64_t offset) {
    READ(NEXT(pread64)(fd, data, length, offset));
}

#define WRITE(call, place)                                                         \
    if (!what_of(fd)) return call;                                                 \
    enter();                                                                       \
    ssize_t done = -1;                                                             \
    int fail = fails('w', what_of(fd));                                            \
    if (fail && half && counted == at && length > 1) length /= 2, fail = 0;        \
    if (!fail) done = call;                                                        \
    if (done > 0) record('w', 0, files[fd].inode, "", place, data, done);          \
    leave();                                                                       \
    return done

ssize_t write(int fd, const void *data, size_t length) {
    WRITE(NEXT(write)(fd, data, length), lseek(fd, 0, SEEK_CUR) - done);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    WRITE(NEXT(pwrite)(fd, data, length, offset), offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    WRITE(NEXT(pwrite64)(fd, data, length, offset), offset);
}

#define ON_FILE(call, which, offset)                                                  \
    if (!what_of(fd)) return call;                                                    \
    enter();                                                                          \
    char kind = which;                                                                \
    int result = fails(kind, what_of(fd)) ? -1 : call;                                \
    if (!result || kind != 't') record(kind, !!result, files[fd].inode, "", offset, NULL, 0); \
    leave();                                                                          \
    return result

#define SYNC(call) ON_FILE(call, what_of(fd) == FOLDER ? 'd' : 's', 0)

int ftruncate(int fd, off_t length) { ON_FILE(NEXT(ftruncate)(fd, length), 't', length); }
int ftruncate64(int fd, off64_t length) { ON_FILE(NEXT(ftruncate64)(fd, length), 't', length); }
int fsync(int fd) { SYNC(NEXT(fsync)(fd)); }
int fdatasync(int fd) { SYNC(NEXT(fdatasync)(fd)); }

#define ON_NAME(call, path, kind)                                           \
    const char *name = name_of(path);                                       \
    if (!name) return call;                                                 \
    enter();                                                                \
    int result = fails(kind, what_is(name)) ? -1 : call;                    \
    struct stat found = {0};                                                \
    if (!result && kind == 'l') stat(path, &found);                         \
    if (!result) record(kind, 0, found.st_ino, name, 0, NULL, 0);           \
    leave();                                                                \
    return result

int unlink(const char *path) { ON_NAME(NEXT(unlink)(path), path, 'u'); }
int unlinkat(int at_fd, const char *path, int flags) {
    ON_NAME(NEXT(unlinkat)(at_fd, path, flags), path, 'u');
}
int link(const char *from, const char *to) { ON_NAME(NEXT(link)(from, to), to, 'l'); }
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    ON_NAME(NEXT(linkat)(from_fd, from, to_fd, to, flags), to, 'l');
}
