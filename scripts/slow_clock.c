// Preloaded by scripts/check-timing: the monotonic clock of a process runs at SLOW_CLOCK of its speed, and its waits last as much
// longer. Whatever it starts without this looks 1 / SLOW_CLOCK times as fast to it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

static double rate = 1.0;
static struct timespec origin;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_nanosleep)(const struct timespec *, struct timespec *);
static int (*real_clock_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
static int (*real_sem_clockwait)(sem_t *, clockid_t, const struct timespec *);
static int (*real_cond_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_cond_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static int (*real_poll)(struct pollfd *, nfds_t, int);
static int (*real_select)(int, fd_set *, fd_set *, fd_set *, struct timeval *);

__attribute__((constructor)) static void begin(void) {
    const char *given = getenv("SLOW_CLOCK");
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_nanosleep = dlsym(RTLD_NEXT, "nanosleep");
    real_clock_nanosleep = dlsym(RTLD_NEXT, "clock_nanosleep");
    real_sem_clockwait = dlsym(RTLD_NEXT, "sem_clockwait");
    real_cond_timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    real_cond_clockwait = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    real_epoll_wait = dlsym(RTLD_NEXT, "epoll_wait");
    real_poll = dlsym(RTLD_NEXT, "poll");
    real_select = dlsym(RTLD_NEXT, "select");
    real_gettime(CLOCK_MONOTONIC, &origin);
    if (given != NULL) rate = atof(given);
}

static double seconds(const struct timespec *t) { return (double)t->tv_sec + (double)t->tv_nsec * 1e-9; }

static struct timespec spec(double s) {
    struct timespec t = {(time_t)s, 0};
    t.tv_nsec = (long)((s - (double)t.tv_sec) * 1e9);
    return t;
}

static int slowed(clockid_t clock) {
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
}

// When the slowed clock shows t, on the real one.
static struct timespec real_time(const struct timespec *t) {
    double start = seconds(&origin);
    return spec(start + (seconds(t) - start) / rate);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    if (real_gettime == NULL) begin();
    int result = real_gettime(clock, t);
    if (result == 0 && slowed(clock)) {
        double start = seconds(&origin);
        *t = spec(start + (seconds(t) - start) * rate);
    }
    return result;
}

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    struct timespec longer = spec(seconds(wanted) / rate);
    return real_nanosleep(&longer, left);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left) {
    struct timespec other = *wanted;
    if (!(flags & TIMER_ABSTIME)) other = spec(seconds(wanted) / rate);
    else if (slowed(clock)) other = real_time(wanted);
    return real_clock_nanosleep(clock, flags, &other, left);
}

int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until) {
    struct timespec other = slowed(clock) ? real_time(until) : *until;
    return real_sem_clockwait(sem, clock, &other);
}

int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *until) {
    struct timespec other = slowed(clock) ? real_time(until) : *until;
    return real_cond_clockwait(c, m, clock, &other);
}

// A condition's clock cannot be asked for; seconds since 1970 are many more than those since the machine's start.
int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until) {
    struct timespec other = until->tv_sec < 1000000000 ? real_time(until) : *until;
    return real_cond_timedwait(c, m, &other);
}

static int longer(int ms) { return ms <= 0 ? ms : ms / rate > 2e9 ? 2000000000 : (int)(ms / rate); }

int epoll_wait(int fd, struct epoll_event *events, int most, int ms) { return real_epoll_wait(fd, events, most, longer(ms)); }

int poll(struct pollfd *fds, nfds_t count, int ms) { return real_poll(fds, count, longer(ms)); }

int select(int count, fd_set *r, fd_set *w, fd_set *e, struct timeval *wait) {
    if (wait == NULL) return real_select(count, r, w, e, NULL);
    double s = ((double)wait->tv_sec + (double)wait->tv_usec * 1e-6) / rate;
    struct timeval other = {(time_t)s, (suseconds_t)((s - (double)(time_t)s) * 1e6)};
    return real_select(count, r, w, e, &other);
}
