/* xoshiro256** (Blackman, Vigna: https://prng.di.unimi.it), seeded from getrandom(). Ids need to be unique, not secret. */
#define _GNU_SOURCE 1
#include "ids.h"

#include <pthread.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t state[4];
static int seeded, watching_forks;

static void forget_seed(void) { seeded = 0; }

static void seed(void)
{
    if (getrandom(state, sizeof state, GRND_NONBLOCK) != (ssize_t)sizeof state || !(state[0] | state[1] | state[2] | state[3])) {
        struct timespec now; /* the kernel's pool is not ready this early in its boot */
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t x = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 16;
        for (int i = 0; i < 4; i++) {
            state[i] = x = x * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
        }
    }
    if (!watching_forks) {
        watching_forks = 1;
        pthread_atfork(NULL, NULL, forget_seed);
    }
    seeded = 1;
}

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

uint64_t ids_next(void)
{
    uint64_t result;
    if (!seeded) {
        seed();
    }
    do {
        result = rotate(state[1] * 5, 7) * 9;
        uint64_t t = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= t;
        state[3] = rotate(state[3], 45);
    } while (!result);
    return result;
}
