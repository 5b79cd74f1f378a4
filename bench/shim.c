/* Loaded into a server with LD_PRELOAD. It keeps what a power loss would leave of the files in
 * SHIM_FOLDER: at each fsync and fdatasync the file is copied to SHIM_SHADOW. And it fails the n-th
 * write, truncate or sync there, as the mapped file SHIM_CONTROL says (bench/shim.py).
 *
 * A copied file may hold bytes that were written while it was copied: what is missing in the shadow
 * was lost for certain, what is there need not have been synced.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2 };

struct control {     /* bench/shim.py writes the first four */
    int64_t fail_at;   /* the number of the first call that fails; 0: none */
    int64_t fail_last; /* the number of the last one */
    int32_t error;     /* its errno */
    int32_t kinds;     /* which calls count */
    int64_t calls;     /* how many were counted */
    int64_t failed;
};

static struct control none, *control = &none;
static const char *folder, *shadow;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

/* A copy: PostgreSQL writes the titles of its processes over the environment. */
static const char *told(const char *name)
{
    const char *value = getenv(name);
    return value ? strdup(value) : NULL;
}

__attribute__((constructor)) static void set_up(void)
{
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    folder = told("SHIM_FOLDER");
    shadow = told("SHIM_SHADOW");
    const char *path = getenv("SHIM_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED)
        control = mapped;
    close(fd);
}

/* Whether the file is one of those in the folder; its path is then in `path`. */
static int is_ours(int fd, char *path)
{
    char link[64];
    if (!folder)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    size_t prefix = strlen(folder);
    return strncmp(path, folder, prefix) == 0 && (path[prefix] == '/' || !path[prefix]);
}

/* Count a call; 1 where it is to fail, with errno set. */
static int fails(int fd, int kind)
{
    char path[PATH_MAX];
    if (!(control->kinds & kind) || !is_ours(fd, path))
        return 0;
    int64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    if (!control->fail_at || number < control->fail_at || number > control->fail_last)
        return 0;
    __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = control->error;
    return 1;
}

static void copy_whole(int fd, const char *path)
{
    char target[PATH_MAX], part[PATH_MAX + 32];
    off_t at = 0;
    snprintf(target, sizeof target, "%s%s", shadow, path + strlen(folder));
    for (char *slash = target + strlen(shadow) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(target, 0700);
        *slash = '/';
    }
    snprintf(part, sizeof part, "%s.%d.part", target, (int)gettid());
    /* Never through a descriptor of our own: closing it would drop SQLite's locks on the file. */
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (to >= 0 && sendfile(to, fd, &at, 1 << 24) > 0)
        ;
    close(to);
    rename(part, target); /* a kill in the middle of the copy must not tear it */
}

/* A synced folder: the names that were taken out of it are gone for good, a hot journal's too. */
static void take_names_out(const char *path)
{
    char target[PATH_MAX], live[2 * PATH_MAX], gone[2 * PATH_MAX];
    snprintf(target, sizeof target, "%s%s", shadow, path + strlen(folder));
    DIR *names = opendir(target);
    for (struct dirent *one; names && (one = readdir(names));) {
        snprintf(live, sizeof live, "%s/%s", path, one->d_name);
        snprintf(gone, sizeof gone, "%s/%s", target, one->d_name);
        if (one->d_type == DT_REG && access(live, F_OK))
            unlink(gone);
    }
    if (names)
        closedir(names);
}

static void keep(int fd)
{
    int before = errno;
    char path[PATH_MAX];
    struct stat about;
    if (shadow && is_ours(fd, path) && !fstat(fd, &about) && about.st_nlink) {
        /* Two processes may sync one file: an older copy must not replace a newer one. */
        int lock = open(shadow, O_RDONLY | O_CLOEXEC);
        flock(lock, LOCK_EX);
        if (S_ISREG(about.st_mode))
            copy_whole(fd, path);
        else
            take_names_out(path);
        close(lock);
    }
    errno = before;
}

static int synced(int fd, int (*real)(int))
{
    if (fails(fd, SYNC))
        return -1;
    int result = real(fd);
    if (result == 0)
        keep(fd);
    return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

ssize_t write(int fd, const void *bytes, size_t size)
{
    return fails(fd, WRITE) ? -1 : real_write(fd, bytes, size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return fails(fd, WRITE) ? -1 : real_pwrite(fd, bytes, size, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return pwrite64(fd, bytes, size, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    return fails(fd, WRITE) ? -1 : real_pwritev(fd, parts, count, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return pwritev64(fd, parts, count, at);
}

int ftruncate64(int fd, off64_t size)
{
    return fails(fd, WRITE) ? -1 : real_ftruncate(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
