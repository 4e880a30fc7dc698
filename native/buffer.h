/* Writing the format's primitives into memory (docs/format.md). The caller has made room: Out never checks,
 * except out_left() for those who write values of open size. */
#ifndef AFTERTRACE_BUFFER_H
#define AFTERTRACE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t *at;  /* next byte */
    uint8_t *end; /* one past the room */
} Out;

static inline size_t out_left(const Out *out) { return (size_t)(out->end - out->at); }

/* Each takes `at` into a register: as far as the compiler knows, a byte that is written may change out->at. */
static inline void put_u8(Out *out, uint8_t v)
{
    uint8_t *at = out->at;
    *at = v;
    out->at = at + 1;
}

static inline void put_raw(Out *out, const void *p, size_t n)
{
    uint8_t *at = out->at;
    memcpy(at, p, n);
    out->at = at + n;
}

static inline void put_u32(Out *out, uint32_t v) { put_raw(out, &v, 4); }
static inline void put_u64(Out *out, uint64_t v) { put_raw(out, &v, 8); }
static inline void put_f64(Out *out, double v) { put_raw(out, &v, 8); }

static inline void put_varint(Out *out, uint64_t v)
{
    uint8_t *at = out->at;
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at = (uint8_t)v;
    out->at = at + 1;
}

static inline void put_svarint(Out *out, int64_t v) { put_varint(out, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63)); }

static inline void put_str(Out *out, const char *p, size_t n)
{
    put_varint(out, n);
    put_raw(out, p, n);
}

#endif
