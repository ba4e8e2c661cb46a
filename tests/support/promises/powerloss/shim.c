/* A disk that remembers what was asked of it, and in which order; and that fails when told to.
 *
 * cc -shared -fPIC -O2 -o shim.so shim.c -ldl -lpthread, then LD_PRELOAD=shim.so. (shim.py does both.) It stands between a
 * process and libc, watches the files below one folder, and does two things:
 *
 *   1. It logs every call that changes them, with its data, in the order in which the calls took effect: one mutex is held over
 *      each call and its record. From that log images.py makes what a power cut would have left at any point of it.
 *   2. It makes the n-th call of a kind fail: EIO, ENOSPC, half a write, or the process's own death.
 *
 * Environment:
 *   POWERLOSS_FOLDER   the folder that is watched: absolute, links resolved. Without it nothing is done.
 *   POWERLOSS_LOG      where the log goes; outside the folder. Without it nothing is logged.
 *   POWERLOSS_NOTES    a path (nothing need be there): what is written to it goes into the log as a note, and nowhere else. So what
 *                      the process says ("acknowledged 7") has its place in the order of what it did to the disk.
 *   POWERLOSS_SYNC     "skip": syncs are logged, and not made. The simulated disk doesn't need them, and they are slow.
 *   POWERLOSS_FAULTS   rules, as below, that hold from the start.
 *   POWERLOSS_CONTROL  a file of 4,096 bytes: a number of 32 bits, then rules, zero-terminated. Whenever the number has changed, the
 *                      rules replace all earlier ones, and count from then on. It is mapped: looking costs no call.
 *
 * A rule is a line "OPERATION NTH COUNT ERROR SUFFIX":
 *   OPERATION  write sync truncate open unlink rename, or any. (open: only what may create or write.)
 *   NTH        the first call that it hits, from 1, among those of its operation on files of its suffix
 *   COUNT      how many from there on; 0: for ever
 *   ERROR      an errno in decimal; 0: a write does half of its bytes and says so, as on a disk that is just full (other calls
 *              pass); -1: SIGKILL before the call
 *   SUFFIX     of the file's path ("-wal", ".db"); "*": every file. A sync of the folder itself has the folder's path.
 *
 * A record of the log is, in the machine's byte order,
 *   u8 kind, u8 mapped, u16 error, u32 file, u64 offset, u32 length of the name, u32 length of the data, name, data.
 * The file is a number of our own, for as long as the file lives, whatever its name is. Names are relative to the folder. Kinds:
 *   C created (name, file)        O opened, there before (name, file)     W written (offset, data; `mapped`: through a map)
 *   T truncated (offset: size)    S synced (file)       D folder synced (name: the folder, "" for the one watched)
 *   U unlinked (name)             R renamed (name to the one in data)     L linked (name to the one in data)
 *   N note (data)                 M folder made (name)                    H half a write, by a rule: the one before it
 *   B a process begins: it numbers files anew
 * With `error` set the call failed by a rule, and nothing was done (S: whatever was unsynced may be lost for good).
 *
 * Not seen: stdio's own writes, io_uring, dup. sendfile and copy_file_range into a watched file fail with EINVAL, so that the
 * caller falls back to writing. Shared maps are compared with what they were at every logged call, so what was stored in them has
 * a place in the order as well, if a late one. SQLite's -shm is left out: no power cut leaves it.
 */

#define _GNU_SOURCE
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
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 4096
#define FILES_MAX 65536
#define MAPS_MAX 64
#define RULES_MAX 32
#define CONTROL_BYTES 4096
#define PAGE 4096

enum { NOBODY = 0, A_FILE, A_FOLDER, NOTES };

struct descriptor {
    int kind;
    uint32_t file;
};

struct file {
    dev_t device;
    ino_t inode;
    int alive; /* its inode number isn't free for another one yet */
    char *name;
};

struct map {
    char *at;
    size_t length;
    off_t offset;
    uint32_t file;
    char *seen;
};

struct rule {
    char operation[16];
    long nth, count, error;
    char suffix[64];
    long calls;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct descriptor descriptors[FDS_MAX];
static struct file files[FILES_MAX];
static uint32_t files_known = 1; /* 0: none */
static struct map maps[MAPS_MAX];
static struct rule rules[RULES_MAX];
static int rules_known;
static char *folder, *notes;
static size_t folder_length;
static int log_descriptor = -1, skip_syncs;
static volatile char *control;
static uint32_t control_seen;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    static inline void find_##name(void) { if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name); }

REAL(int, open, const char *, int, ...)
REAL(int, openat, int, const char *, int, ...)
REAL(int, close, int)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(ssize_t, pwritev2, int, const struct iovec *, int, off_t, int)
REAL(int, ftruncate, int, off_t)
REAL(int, truncate, const char *, off_t)
REAL(int, fallocate, int, int, off_t, off_t)
REAL(int, posix_fallocate, int, off_t, off_t)
REAL(int, unlink, const char *)
REAL(int, unlinkat, int, const char *, int)
REAL(int, rename, const char *, const char *)
REAL(int, renameat, int, const char *, int, const char *)
REAL(int, link, const char *, const char *)
REAL(int, mkdir, const char *, mode_t)
REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(void *, mmap, void *, size_t, int, int, int, off_t)
REAL(int, munmap, void *, size_t)
REAL(ssize_t, sendfile, int, int, off_t *, size_t)
REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned)

/* -- rules ------------------------------------------------------------------------------------------------------------------ */

static void take_rules(const char *text)
{
    rules_known = 0;
    while (text && *text && rules_known < RULES_MAX) {
        struct rule *rule = &rules[rules_known];
        memset(rule, 0, sizeof *rule);
        if (sscanf(text, "%15s %ld %ld %ld %63s", rule->operation, &rule->nth, &rule->count, &rule->error, rule->suffix) == 5)
            rules_known++;
        text = strchr(text, '\n');
        if (text)
            text++;
    }
}

static int ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), wanted = strlen(suffix);
    return !strcmp(suffix, "*") || (length >= wanted && !strcmp(text + length - wanted, suffix));
}

/* Under the mutex. What is to happen to this call: 0 nothing, an errno, or -2 for half a write. */
static int fault(const char *operation, const char *path)
{
    int found = 0;
    if (control && *(volatile uint32_t *)control != control_seen) {
        control_seen = *(volatile uint32_t *)control;
        take_rules((const char *)control + 4);
    }
    for (int i = 0; i < rules_known; i++) {
        struct rule *rule = &rules[i];
        if ((strcmp(rule->operation, "any") && strcmp(rule->operation, operation)) || !ends_with(path, rule->suffix))
            continue;
        rule->calls++;
        if (rule->calls < rule->nth || (rule->count && rule->calls >= rule->nth + rule->count) || found)
            continue;
        if (rule->error == -1)
            kill(getpid(), SIGKILL);
        found = rule->error ? (int)rule->error : -2;
    }
    return found;
}

/* -- the log ---------------------------------------------------------------------------------------------------------------- */

static void put(const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t done = syscall(SYS_write, log_descriptor, at, length);
        if (done < 0) {
            if (errno == EINTR)
                continue;
            static const char message[] = "powerloss shim: the log can't be written\n";
            syscall(SYS_write, 2, message, sizeof message - 1);
            _exit(99);
        }
        at += done;
        length -= done;
    }
}

static void record(char kind, int mapped, int error, uint32_t file, uint64_t offset, const char *name, const void *data, size_t length)
{
    char head[24];
    uint16_t why = error;
    uint32_t name_length = name ? strlen(name) : 0, data_length = length;
    if (log_descriptor < 0)
        return;
    head[0] = kind;
    head[1] = mapped;
    memcpy(head + 2, &why, 2);
    memcpy(head + 4, &file, 4);
    memcpy(head + 8, &offset, 8);
    memcpy(head + 16, &name_length, 4);
    memcpy(head + 20, &data_length, 4);
    put(head, sizeof head);
    if (name_length)
        put(name, name_length);
    if (length)
        put(data, length);
}

/* What has been stored in shared maps since the last call. */
static void look_at_maps(void)
{
    if (log_descriptor < 0)
        return;
    for (int i = 0; i < MAPS_MAX; i++) {
        struct map *map = &maps[i];
        if (!map->at)
            continue;
        for (size_t at = 0; at < map->length; at += PAGE) {
            size_t length = map->length - at < PAGE ? map->length - at : PAGE;
            if (memcmp(map->at + at, map->seen + at, length)) {
                memcpy(map->seen + at, map->at + at, length);
                record('W', 1, 0, map->file, map->offset + at, NULL, map->seen + at, length);
            }
        }
    }
}

/* -- files ------------------------------------------------------------------------------------------------------------------ */

/* The path's name relative to the folder, in `name`; NULL if it isn't watched. Resolves the folder it is in, not the file. */
static const char *watched(int at, const char *path, char *name)
{
    char whole[PATH_MAX], parent[PATH_MAX];
    if (!folder || !path || !*path)
        return NULL;
    if (path[0] != '/' && at != AT_FDCWD)
        return NULL;
    if (path[0] == '/' ? strlen(path) >= sizeof whole : 0)
        return NULL;
    if (path[0] == '/')
        strcpy(whole, path);
    else {
        if (!getcwd(whole, sizeof whole) || strlen(whole) + strlen(path) + 2 > sizeof whole)
            return NULL;
        strcat(strcat(whole, "/"), path);
    }
    if (!strcmp(whole, folder))
        return strcpy(name, "");
    char *slash = strrchr(whole, '/');
    const char *base = slash + 1;
    if (strncmp(whole, folder, folder_length) || whole[folder_length] != '/' || strstr(whole, "/../")) {
        *slash = 0;
        if (!realpath(*whole ? whole : "/", parent))
            return NULL;
    } else {
        *slash = 0;
        strcpy(parent, whole);
    }
    if (strncmp(parent, folder, folder_length) || (parent[folder_length] && parent[folder_length] != '/'))
        return NULL;
    size_t length = strlen(base);
    if (length >= 4 && !strcmp(base + length - 4, "-shm"))
        return NULL;
    const char *between = parent + folder_length;
    snprintf(name, PATH_MAX, "%s%s%s", *between ? between + 1 : "", *between ? "/" : "", base);
    return name;
}

static uint32_t known(const struct stat *found)
{
    for (uint32_t i = 1; i < files_known; i++)
        if (files[i].alive && files[i].device == found->st_dev && files[i].inode == found->st_ino)
            return i;
    return 0;
}

static uint32_t learn(const struct stat *found, const char *name)
{
    if (files_known == FILES_MAX) {
        static const char message[] = "powerloss shim: too many files\n";
        syscall(SYS_write, 2, message, sizeof message - 1);
        _exit(99);
    }
    files[files_known].device = found->st_dev;
    files[files_known].inode = found->st_ino;
    files[files_known].alive = 1;
    files[files_known].name = strdup(name);
    return files_known++;
}

/* A name is about to be taken away: if it is the file's last one, its inode number may come again. */
static void forget(const struct stat *found)
{
    uint32_t file = found->st_nlink <= 1 ? known(found) : 0;
    if (file)
        files[file].alive = 0;
}

static struct descriptor *described(int fd)
{
    return folder && fd >= 0 && fd < FDS_MAX && descriptors[fd].kind != NOBODY ? &descriptors[fd] : NULL;
}

static const char *name_of(const struct descriptor *one)
{
    return one->file ? files[one->file].name : "";
}

static int fails(int error)
{
    errno = error;
    return -1;
}

/* -- opening and closing ---------------------------------------------------------------------------------------------------- */

static int opened(int at, const char *path, int flags, mode_t mode)
{
    char name[PATH_MAX];
    struct stat found;
    find_openat();
    if (folder && notes && path && !strcmp(path, notes)) {
        int fd = real_openat(AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC, 0);
        if (fd >= 0 && fd < FDS_MAX)
            descriptors[fd].kind = NOTES;
        return fd;
    }
    if (!watched(at, path, name))
        return real_openat(at, path, flags, mode);
    pthread_mutex_lock(&mutex);
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    int error = writes ? fault("open", path) : 0;
    if (error > 0) {
        pthread_mutex_unlock(&mutex);
        return fails(error);
    }
    int there = fstatat(at, path, &found, 0) == 0;
    off_t size = there ? found.st_size : 0;
    int fd = real_openat(at, path, flags, mode), why = errno;
    if (fd >= 0 && fd < FDS_MAX && fstat(fd, &found) == 0) {
        if (S_ISDIR(found.st_mode)) {
            descriptors[fd].kind = A_FOLDER;
            descriptors[fd].file = known(&found) ? known(&found) : learn(&found, name);
        } else if (S_ISREG(found.st_mode)) {
            uint32_t file = there ? known(&found) : 0;
            if (!file) {
                file = learn(&found, name);
                record(there ? 'O' : 'C', 0, 0, file, 0, name, NULL, 0);
            }
            descriptors[fd].kind = A_FILE;
            descriptors[fd].file = file;
            if (flags & O_TRUNC && size)
                record('T', 0, 0, file, 0, NULL, NULL, 0);
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = why;
    return fd;
}

#define OPENED(at) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    return opened(at, path, flags, mode);

int open(const char *path, int flags, ...) { OPENED(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD) }
int openat(int at, const char *path, int flags, ...) { OPENED(at) }
int openat64(int at, const char *path, int flags, ...) { OPENED(at) }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd)
{
    find_close();
    if (!described(fd))
        return real_close(fd);
    pthread_mutex_lock(&mutex);
    descriptors[fd].kind = NOBODY;
    descriptors[fd].file = 0;
    int done = real_close(fd);
    pthread_mutex_unlock(&mutex);
    return done;
}

/* -- writing ---------------------------------------------------------------------------------------------------------------- */

static ssize_t written(int fd, const void *data, size_t length, off_t offset, int positioned)
{
    find_write();
    find_pwrite();
    struct descriptor *one = described(fd);
    if (!one || one->kind == A_FOLDER)
        return positioned ? real_pwrite(fd, data, length, offset) : real_write(fd, data, length);
    pthread_mutex_lock(&mutex);
    ssize_t done;
    if (one->kind == NOTES) {
        record('N', 0, 0, 0, 0, NULL, data, length);
        done = length;
    } else {
        look_at_maps();
        int error = fault("write", name_of(one));
        if (error > 0) {
            record('W', 0, error, one->file, offset, NULL, NULL, 0);
            pthread_mutex_unlock(&mutex);
            return fails(error);
        }
        int half = error == -2 && length > 1;
        if (half)
            length /= 2;
        if (!positioned) {
            struct stat found;
            int flags = fcntl(fd, F_GETFL);
            offset = flags & O_APPEND && fstat(fd, &found) == 0 ? found.st_size : lseek(fd, 0, SEEK_CUR);
        }
        done = positioned ? real_pwrite(fd, data, length, offset) : real_write(fd, data, length);
        int why = errno;
        if (done > 0)
            record('W', 0, 0, one->file, offset, NULL, data, done);
        if (half)
            record('H', 0, 0, one->file, offset + done, NULL, NULL, 0);
        errno = why;
    }
    int why = errno;
    pthread_mutex_unlock(&mutex);
    errno = why;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return written(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return written(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return written(fd, data, length, offset, 1); }

static ssize_t written_parts(int fd, const struct iovec *parts, int count, off_t offset, int positioned)
{
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = written(fd, parts[i].iov_base, parts[i].iov_len, offset + sum, positioned);
        if (done < 0)
            return sum ? sum : -1;
        sum += done;
        if ((size_t)done < parts[i].iov_len)
            break;
    }
    return sum;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    find_writev();
    return described(fd) ? written_parts(fd, parts, count, 0, 0) : real_writev(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    find_pwritev();
    return described(fd) ? written_parts(fd, parts, count, offset, 1) : real_pwritev(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    find_pwritev2();
    if (!described(fd))
        return real_pwritev2(fd, parts, count, offset, flags);
    return written_parts(fd, parts, count, offset == -1 ? 0 : offset, offset != -1);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    return pwritev2(fd, parts, count, offset, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t length)
{
    find_sendfile();
    return described(to) ? fails(EINVAL) : real_sendfile(to, from, offset, length);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) { return sendfile(to, from, offset, length); }

ssize_t copy_file_range(int from, off64_t *read_at, int to, off64_t *write_at, size_t length, unsigned flags)
{
    find_copy_file_range();
    return described(to) ? fails(EINVAL) : real_copy_file_range(from, read_at, to, write_at, length, flags);
}

/* -- sizes ------------------------------------------------------------------------------------------------------------------ */

int ftruncate(int fd, off_t size)
{
    find_ftruncate();
    struct descriptor *one = described(fd);
    if (!one || one->kind != A_FILE)
        return real_ftruncate(fd, size);
    pthread_mutex_lock(&mutex);
    look_at_maps();
    int error = fault("truncate", name_of(one)), done, why;
    if (error > 0) {
        record('T', 0, error, one->file, size, NULL, NULL, 0);
        done = -1, why = error;
    } else {
        done = real_ftruncate(fd, size), why = errno;
        if (!done)
            record('T', 0, 0, one->file, size, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&mutex);
    errno = why;
    return done;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *path, off_t size)
{
    char name[PATH_MAX];
    find_truncate();
    if (!watched(AT_FDCWD, path, name))
        return real_truncate(path, size);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int done = ftruncate(fd, size), why = errno;
    close(fd);
    errno = why;
    return done;
}

int truncate64(const char *path, off64_t size) { return truncate(path, size); }

/* Whoever makes room grows the file, with zeros: for the log that is a truncation upwards. Returns an errno. */
static int grown(int fd, off_t offset, off_t length)
{
    struct descriptor *one = described(fd);
    struct stat found;
    pthread_mutex_lock(&mutex);
    look_at_maps();
    int error = fault("truncate", name_of(one));
    if (error <= 0) {
        find_posix_fallocate();
        error = fstat(fd, &found) ? errno : real_posix_fallocate(fd, offset, length);
        if (!error && offset + length > found.st_size)
            record('T', 0, 0, one->file, offset + length, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&mutex);
    return error;
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    find_posix_fallocate();
    return described(fd) ? grown(fd, offset, length) : real_posix_fallocate(fd, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    find_fallocate();
    if (!described(fd))
        return real_fallocate(fd, mode, offset, length);
    if (mode)
        return fails(EOPNOTSUPP);
    int error = grown(fd, offset, length);
    return error ? fails(error) : 0;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }

/* -- names ------------------------------------------------------------------------------------------------------------------ */

int unlinkat(int at, const char *path, int flags)
{
    char name[PATH_MAX];
    struct stat found;
    find_unlinkat();
    if (flags || !watched(at, path, name))
        return real_unlinkat(at, path, flags);
    pthread_mutex_lock(&mutex);
    look_at_maps();
    int error = fault("unlink", path), done = -1, why = error;
    if (error <= 0) {
        int there = fstatat(at, path, &found, AT_SYMLINK_NOFOLLOW) == 0;
        done = real_unlinkat(at, path, flags), why = errno;
        if (!done && there) {
            forget(&found);
            record('U', 0, 0, 0, 0, name, NULL, 0);
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = why;
    return done;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    char name[PATH_MAX], other[PATH_MAX];
    struct stat found;
    find_renameat();
    const char *a = watched(from_at, from, name), *b = watched(to_at, to, other);
    if (!a || !b)
        return real_renameat(from_at, from, to_at, to);
    pthread_mutex_lock(&mutex);
    look_at_maps();
    int error = fault("rename", to), done = -1, why = error;
    if (error <= 0) {
        int there = fstatat(to_at, to, &found, AT_SYMLINK_NOFOLLOW) == 0;
        done = real_renameat(from_at, from, to_at, to), why = errno;
        if (!done) {
            if (there)
                forget(&found);
            record('R', 0, 0, 0, 0, name, other, strlen(other));
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = why;
    return done;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int link(const char *from, const char *to)
{
    char name[PATH_MAX], other[PATH_MAX];
    find_link();
    if (!watched(AT_FDCWD, from, name) || !watched(AT_FDCWD, to, other))
        return real_link(from, to);
    pthread_mutex_lock(&mutex);
    look_at_maps();
    int error = fault("rename", to), done = -1, why = error;
    if (error <= 0) {
        done = real_link(from, to), why = errno;
        if (!done)
            record('L', 0, 0, 0, 0, name, other, strlen(other));
    }
    pthread_mutex_unlock(&mutex);
    errno = why;
    return done;
}

int mkdir(const char *path, mode_t mode)
{
    char name[PATH_MAX];
    find_mkdir();
    int done = real_mkdir(path, mode), why = errno;
    if (!done && watched(AT_FDCWD, path, name)) {
        pthread_mutex_lock(&mutex);
        record('M', 0, 0, 0, 0, name, NULL, 0);
        pthread_mutex_unlock(&mutex);
    }
    errno = why;
    return done;
}

/* -- syncing ---------------------------------------------------------------------------------------------------------------- */

static int synced(int fd, int (*real)(int))
{
    struct descriptor *one = described(fd);
    if (!one || one->kind == NOTES)
        return real(fd);
    pthread_mutex_lock(&mutex);
    look_at_maps();
    int error = fault("sync", one->kind == A_FOLDER && !*name_of(one) ? folder : name_of(one)), done = -1, why = error;
    if (error <= 0) {
        done = skip_syncs ? 0 : real(fd), why = errno;
        error = done ? why : 0;
    }
    record(one->kind == A_FOLDER ? 'D' : 'S', 0, error, one->file, 0, name_of(one), NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = why;
    return done;
}

int fsync(int fd)
{
    find_fsync();
    return synced(fd, real_fsync);
}

int fdatasync(int fd)
{
    find_fdatasync();
    return synced(fd, real_fdatasync);
}

/* -- maps ------------------------------------------------------------------------------------------------------------------- */

void *mmap(void *wanted, size_t length, int protection, int flags, int fd, off_t offset)
{
    find_mmap();
    char *at = real_mmap(wanted, length, protection, flags, fd, offset);
    struct descriptor *one = described(fd);
    int shared = (flags & (MAP_SHARED | MAP_SHARED_VALIDATE)) != 0;
    if (!one || at == MAP_FAILED || flags & MAP_ANONYMOUS || !shared || !(protection & PROT_WRITE) || log_descriptor < 0)
        return at;
    int why = errno;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < MAPS_MAX; i++)
        if (!maps[i].at) {
            char *seen = real_mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (seen == MAP_FAILED)
                break;
            memcpy(seen, at, length); /* what a map beyond the file's end would be is a SIGBUS, here as there */
            maps[i] = (struct map){at, length, offset, one->file, seen};
            break;
        }
    pthread_mutex_unlock(&mutex);
    errno = why;
    return at;
}

void *mmap64(void *wanted, size_t length, int protection, int flags, int fd, off64_t offset)
{
    return mmap(wanted, length, protection, flags, fd, offset);
}

int munmap(void *at, size_t length)
{
    find_munmap();
    if (folder && log_descriptor >= 0) {
        pthread_mutex_lock(&mutex);
        for (int i = 0; i < MAPS_MAX; i++)
            if (maps[i].at == at) {
                look_at_maps();
                real_munmap(maps[i].seen, maps[i].length);
                maps[i].at = NULL;
            }
        pthread_mutex_unlock(&mutex);
    }
    return real_munmap(at, length);
}

/* -- the beginning ---------------------------------------------------------------------------------------------------------- */

__attribute__((constructor)) static void begin(void)
{
    const char *wanted = getenv("POWERLOSS_FOLDER"), *path;
    find_open();
    if (!wanted)
        return;
    if ((path = getenv("POWERLOSS_LOG"))) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0) {
            perror("powerloss shim: POWERLOSS_LOG");
            _exit(99);
        }
        log_descriptor = fcntl(fd, F_DUPFD_CLOEXEC, 512); /* out of the way of whoever counts on low numbers */
        syscall(SYS_close, fd);
    }
    if ((path = getenv("POWERLOSS_CONTROL"))) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        find_mmap();
        char *at = fd < 0 ? MAP_FAILED : real_mmap(NULL, CONTROL_BYTES, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) {
            perror("powerloss shim: POWERLOSS_CONTROL");
            _exit(99);
        }
        syscall(SYS_close, fd);
        control = at;
    }
    take_rules(getenv("POWERLOSS_FAULTS"));
    notes = getenv("POWERLOSS_NOTES") ? strdup(getenv("POWERLOSS_NOTES")) : NULL;
    skip_syncs = getenv("POWERLOSS_SYNC") && !strcmp(getenv("POWERLOSS_SYNC"), "skip");
    folder = strdup(wanted);
    folder_length = strlen(folder);
    record('B', 0, 0, 0, 0, NULL, NULL, 0);
}
