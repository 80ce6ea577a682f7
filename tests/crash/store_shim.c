/* Stands between a program and the kernel (LD_PRELOAD) and breaks one call on a file.
 *
 *   GRIDMILL_SHIM=<what>:<n>   the n-th call (from 1) that changes or syncs a watched file ...
 *       kill     never happens: the process gets SIGKILL instead
 *       killed   happens, then the process gets SIGKILL
 *       eio, enospc   fails with that errno; later calls work again
 *       short    writes half of its bytes (only a write; else as usual)
 *   GRIDMILL_SHIM=nosync:0     fdatasync of a watched file says that all is well and does nothing
 *   GRIDMILL_SHIM_ACK=<file>   gets a line for each record of a finished row that an fdatasync has
 *                              made durable: its offset
 *   GRIDMILL_SHIM_MATCH=<text>  watched are files whose path contains it; default ".h5"
 *
 * Calls: pwrite, fsync, fdatasync, ftruncate, posix_fallocate, rename. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum action { NOTHING, KILL_BEFORE, KILL_AFTER, FAIL, SHORT };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long calls = 0;

static int is_watched(const char* path) {
  const char* match = getenv("GRIDMILL_SHIM_MATCH");
  return strstr(path, match != NULL ? match : ".h5") != NULL;
}

static int is_watched_fd(int fd) {
  char link[64];
  char path[4096];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return is_watched(path);
}

/* Counts a call on a watched file and says what becomes of it; sets *error for FAIL. */
static enum action next_action(int* error) {
  const char* plan = getenv("GRIDMILL_SHIM");
  const char* colon = plan != NULL ? strchr(plan, ':') : NULL;
  if (colon == NULL) return NOTHING;
  pthread_mutex_lock(&mutex);
  const long now = ++calls;
  pthread_mutex_unlock(&mutex);
  if (now != atol(colon + 1)) return NOTHING;
  if (strncmp(plan, "killed:", 7) == 0) return KILL_AFTER;
  if (strncmp(plan, "kill:", 5) == 0) return KILL_BEFORE;
  if (strncmp(plan, "short:", 6) == 0) return SHORT;
  *error = strncmp(plan, "enospc:", 7) == 0 ? ENOSPC : EIO;
  return FAIL;
}

/* Offsets of finished records that no fdatasync has covered yet. */
#define MOST_UNSYNCED 65536
static off_t unsynced[MOST_UNSYNCED];
static size_t unsynced_count = 0;

/* A record is 32 bytes; its first two are the status, 1 = done, 2 = failed. */
static void note_write(const void* bytes, size_t size, off_t offset) {
  const unsigned char* record = (const unsigned char*)bytes;
  if (getenv("GRIDMILL_SHIM_ACK") == NULL || size != 32) return;
  if ((record[0] != 1 && record[0] != 2) || record[1] != 0) return;
  pthread_mutex_lock(&mutex);
  if (unsynced_count == MOST_UNSYNCED) abort();
  unsynced[unsynced_count++] = offset;
  pthread_mutex_unlock(&mutex);
}

static size_t unsynced_now(void) {
  pthread_mutex_lock(&mutex);
  const size_t count = unsynced_count;
  pthread_mutex_unlock(&mutex);
  return count;
}

/* Reports the first `count` of them and forgets them. */
static void acknowledge(size_t count) {
  if (count == 0) return;
  pthread_mutex_lock(&mutex);
  const int log = open(getenv("GRIDMILL_SHIM_ACK"), O_WRONLY | O_CREAT | O_APPEND, 0666);
  for (size_t i = 0; i < count; ++i) dprintf(log, "%lld\n", (long long)unsynced[i]);
  close(log);
  memmove(unsynced, unsynced + count, (unsynced_count - count) * sizeof(unsynced[0]));
  unsynced_count -= count;
  pthread_mutex_unlock(&mutex);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Runs CALL, which yields RESULT, between the two ways to be killed. */
#define BREAKABLE(WATCHED, CALL, FAILED)   \
  int error = 0;                           \
  enum action what = NOTHING;              \
  if (WATCHED) what = next_action(&error); \
  if (what == KILL_BEFORE) die();          \
  if (what == FAIL) {                      \
    errno = error;                         \
    return FAILED;                         \
  }                                        \
  CALL;                                    \
  if (what == KILL_AFTER) die();

static ssize_t write_at(const char* name, int fd, const void* bytes, size_t size, off_t offset) {
  ssize_t (*real)(int, const void*, size_t, off_t) =
      (ssize_t(*)(int, const void*, size_t, off_t))dlsym(RTLD_NEXT, name);
  ssize_t result = 0;
  BREAKABLE(is_watched_fd(fd),
            result = real(fd, bytes, what == SHORT && size > 1 ? size / 2 : size, offset), -1)
  if (result == (ssize_t)size && is_watched_fd(fd)) note_write(bytes, size, offset);
  return result;
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return write_at("pwrite", fd, bytes, size, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off_t offset) {
  return write_at("pwrite64", fd, bytes, size, offset);
}

static int sync_file(const char* name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  int result = 0;
  BREAKABLE(is_watched_fd(fd), result = real(fd), -1)
  return result;
}

int fsync(int fd) { return sync_file("fsync", fd); }
int fdatasync(int fd) {
  const char* plan = getenv("GRIDMILL_SHIM");
  const size_t covered = unsynced_now();
  const int stubbed = plan != NULL && strncmp(plan, "nosync:", 7) == 0 && is_watched_fd(fd);
  const int result = stubbed ? 0 : sync_file("fdatasync", fd);
  if (result == 0) acknowledge(covered);
  return result;
}

static int resize(const char* name, int fd, off_t size) {
  int (*real)(int, off_t) = (int (*)(int, off_t))dlsym(RTLD_NEXT, name);
  int result = 0;
  BREAKABLE(is_watched_fd(fd), result = real(fd, size), -1)
  return result;
}

int ftruncate(int fd, off_t size) { return resize("ftruncate", fd, size); }
int ftruncate64(int fd, off_t size) { return resize("ftruncate64", fd, size); }

static int reserve(const char* name, int fd, off_t offset, off_t size) {
  int (*real)(int, off_t, off_t) = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, name);
  int result = 0;
  BREAKABLE(is_watched_fd(fd), result = real(fd, offset, size), error)
  return result;
}

int posix_fallocate(int fd, off_t offset, off_t size) {
  return reserve("posix_fallocate", fd, offset, size);
}
int posix_fallocate64(int fd, off_t offset, off_t size) {
  return reserve("posix_fallocate64", fd, offset, size);
}

int rename(const char* from, const char* to) {
  int (*real)(const char*, const char*) =
      (int (*)(const char*, const char*))dlsym(RTLD_NEXT, "rename");
  int result = 0;
  BREAKABLE(is_watched(to), result = real(from, to), -1)
  return result;
}
