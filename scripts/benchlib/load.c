/* The load generator's inner loops.
 *
 * They call libzmq through the function pointers in `struct api`, so that this file is compiled without libzmq's headers and linked
 * without libzmq: the sockets belong to the libzmq inside pyzmq, and a second copy could not use them.  One ctypes call per *message*
 * costs more than the message; here it is one call per *run*.
 *
 * Each loop ends when `board->stop` is set.  Every blocking call has a timeout set on its socket, so the flag is seen soon. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { DONTWAIT = 1, SNDMORE = 2, POLLIN_ = 1, POLLOUT_ = 2 };   /* values of libzmq's public ABI */
enum { SLOTS = 256, TIMES = 1 << 17, MAX_FLIGHT = 4096 };        /* SLOTS and TIMES as in board.py */
enum { TURN = 128 };            /* messages per socket before the next one has its turn */
enum { POLL_MS = 20 };
enum { TOPIC_STEP = 389 };      /* with no factor of 1000: all have their turn, and not neighbours together */
enum { SHARE_FROM = 4096 };     /* bytes: from here on, sharing one body costs less than copying it */

typedef struct { unsigned char opaque[64]; } __attribute__((aligned(8))) msg_t;
typedef struct { void *socket; int fd; short events, revents; } item_t;

struct api {
    int (*msg_init)(msg_t *);
    int (*msg_init_data)(msg_t *, void *, size_t, void (*)(void *, void *), void *);
    int (*msg_copy)(msg_t *, msg_t *);
    int (*msg_send)(msg_t *, void *, int);
    int (*msg_recv)(msg_t *, void *, int);
    int (*msg_close)(msg_t *);
    int (*msg_more)(const msg_t *);
    int (*send)(void *, const void *, size_t, int);
    int (*poll)(item_t *, int, long);
    int (*last_errno)(void);
};

struct board {
    volatile uint64_t stop;
    volatile uint64_t times;            /* how many were ever written to time_ns */
    volatile uint64_t reserved[6];
    volatile uint64_t count[SLOTS];
    volatile uint64_t time_ns[TIMES];   /* a ring */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int is_retry(const struct api *z)
{
    int code = z->last_errno();
    return code == EAGAIN || code == EINTR;
}

static void keep(void *data, void *hint) { (void)data; (void)hint; }

/* One message of `size` bytes.  Large bodies are shared, so that the source's own memcpy is not what is measured. */
static int send_one(const struct api *z, void *socket, msg_t *shared, const char *body, size_t size, int flags)
{
    if (size < SHARE_FROM)
        return z->send(socket, body, size, flags);
    msg_t copy;
    z->msg_init(&copy);
    z->msg_copy(&copy, shared);
    int rc = z->msg_send(&copy, socket, flags);
    if (rc < 0)
        z->msg_close(&copy);
    return rc;
}

static int wait_any(const struct api *z, void **sockets, int n, short events)
{
    item_t items[SLOTS];
    for (int i = 0; i < n; i++)
        items[i] = (item_t){ sockets[i], 0, events, 0 };
    return z->poll(items, n, POLL_MS) < 0 && !is_retry(z) ? -1 : 0;
}

/* Sends as fast as the sockets take it; a socket that is full holds up no other one. */
int load_source(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int unused)
{
    msg_t shared;
    (void)unused;
    z->msg_init_data(&shared, body, size, keep, 0);
    int failed = 0;
    while (!b->stop && !failed) {
        int moved = 0;
        for (int i = 0; i < n && !failed; i++)
            for (int k = 0; k < TURN && !b->stop; k++) {
                if (send_one(z, sockets[i], &shared, body, size, n > 1 ? DONTWAIT : 0) < 0) {
                    failed = !is_retry(z);
                    break;
                }
                b->count[i]++;
                moved = 1;
            }
        if (!moved && !failed && n > 1)
            failed = wait_any(z, sockets, n, POLLOUT_);
    }
    z->msg_close(&shared);
    return failed ? z->last_errno() : 0;
}

/* The same for one socket; each message begins with another one of a thousand numbers, 000 to 999. */
int load_topics(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int unused)
{
    (void)n; (void)unused;
    for (unsigned topic = 0; !b->stop; topic = (topic + TOPIC_STEP) % 1000) {
        body[0] = '0' + topic / 100;
        body[1] = '0' + topic / 10 % 10;
        body[2] = '0' + topic % 10;
        if (z->send(sockets[0], body, size, 0) >= 0)
            b->count[0]++;
        else if (!is_retry(z))
            return z->last_errno();
    }
    return 0;
}

/* The same with ten thousand numbers, 00000 to 09999, and a space behind them. */
int load_values(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int unused)
{
    (void)n; (void)unused;
    body[0] = '0';
    body[5] = ' ';
    for (unsigned topic = 0; !b->stop; topic = (topic + TOPIC_STEP) % 10000) {
        body[1] = '0' + topic / 1000;
        body[2] = '0' + topic / 100 % 10;
        body[3] = '0' + topic / 10 % 10;
        body[4] = '0' + topic % 10;
        if (z->send(sockets[0], body, size, 0) >= 0)
            b->count[0]++;
        else if (!is_retry(z))
            return z->last_errno();
    }
    return 0;
}

/* Receives and counts whole messages. */
int load_sink(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int unused)
{
    msg_t msg;
    (void)body; (void)size; (void)unused;
    z->msg_init(&msg);
    int failed = 0;
    while (!b->stop && !failed) {
        int moved = 0;
        for (int i = 0; i < n && !failed; i++)
            for (int k = 0; k < TURN && !b->stop; k++) {
                if (z->msg_recv(&msg, sockets[i], n > 1 ? DONTWAIT : 0) < 0) {
                    failed = !is_retry(z);
                    break;
                }
                b->count[i] += !z->msg_more(&msg);
                moved = 1;
            }
        if (!moved && !failed && n > 1)
            failed = wait_any(z, sockets, n, POLLIN_);
    }
    z->msg_close(&msg);
    return failed ? z->last_errno() : 0;
}

/* A worker that is connected and takes nothing. */
int load_stall(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int unused)
{
    struct timespec pause = { 0, POLL_MS * 1000000L };
    (void)z; (void)sockets; (void)n; (void)body; (void)size; (void)unused;
    while (!b->stop)
        nanosleep(&pause, 0);
    return 0;
}

/* Keeps `in_flight` requests on their way through one DEALER.  Replies come back in order, so the oldest start time is the reply's. */
int load_request(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int in_flight)
{
    static uint64_t started[MAX_FLIGHT];
    uint64_t sent = 0, got = 0;
    msg_t shared, msg;
    (void)n;
    z->msg_init(&msg);
    z->msg_init_data(&shared, body, size, keep, 0);
    int failed = 0;
    while (!b->stop && !failed) {
        if (sent - got < (uint64_t)in_flight) {
            started[sent % MAX_FLIGHT] = now_ns();
            if (z->send(sockets[0], "", 0, SNDMORE) < 0 ||
                send_one(z, sockets[0], &shared, body, size, 0) < 0)
                failed = !is_retry(z);
            else
                sent++;
            continue;
        }
        if (z->msg_recv(&msg, sockets[0], 0) < 0)
            failed = !is_retry(z);
        else if (!z->msg_more(&msg)) {
            b->time_ns[b->times % TIMES] = now_ns() - started[got % MAX_FLIGHT];
            b->times++;
            got++;
            b->count[0] = got;
        }
    }
    z->msg_close(&shared);
    z->msg_close(&msg);
    return failed ? z->last_errno() : 0;
}

/* A REP worker: sends back what it got. */
int load_reply(const struct api *z, struct board *b, void **sockets, int n, char *body, size_t size, int unused)
{
    msg_t msg;
    (void)n; (void)body; (void)size; (void)unused;
    z->msg_init(&msg);
    int failed = 0;
    while (!b->stop && !failed) {
        if (z->msg_recv(&msg, sockets[0], 0) < 0) {
            failed = !is_retry(z);
            continue;
        }
        while (!b->stop && z->msg_send(&msg, sockets[0], 0) < 0)
            if ((failed = !is_retry(z)))
                break;
        b->count[0]++;
    }
    z->msg_close(&msg);
    return failed ? z->last_errno() : 0;
}
