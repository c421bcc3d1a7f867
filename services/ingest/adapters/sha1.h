/* SHA-1 (FIPS 180-4, 6.1): by the processor's own instructions where it has them (Intel's SHA extensions), and without. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

static int sha_is_here(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

__attribute__((target("sha,ssse3,sse4.1")))
static void sha_blocks(uint32_t *state, const unsigned char *data, size_t blocks) {
    const __m128i order = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1b);
    __m128i e = _mm_set_epi32(state[4], 0, 0, 0);
    for (; blocks; blocks--, data += 64) {
        __m128i words[20], before = abcd, last, first_e = e;
        for (int i = 0; i < 4; i++)
            words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), order);
        for (int i = 4; i < 20; i++)
            words[i] = _mm_sha1msg2_epu32(
                _mm_xor_si128(_mm_sha1msg1_epu32(words[i - 4], words[i - 3]), words[i - 2]), words[i - 1]);
        e = _mm_add_epi32(e, words[0]);
        last = abcd;
        abcd = _mm_sha1rnds4_epu32(abcd, e, 0);
        #define SHA_FOUR(i, kind) \
            e = _mm_sha1nexte_epu32(last, words[i]); last = abcd; abcd = _mm_sha1rnds4_epu32(abcd, e, kind);
        SHA_FOUR(1, 0) SHA_FOUR(2, 0) SHA_FOUR(3, 0) SHA_FOUR(4, 0)
        SHA_FOUR(5, 1) SHA_FOUR(6, 1) SHA_FOUR(7, 1) SHA_FOUR(8, 1) SHA_FOUR(9, 1)
        SHA_FOUR(10, 2) SHA_FOUR(11, 2) SHA_FOUR(12, 2) SHA_FOUR(13, 2) SHA_FOUR(14, 2)
        SHA_FOUR(15, 3) SHA_FOUR(16, 3) SHA_FOUR(17, 3) SHA_FOUR(18, 3) SHA_FOUR(19, 3)
        #undef SHA_FOUR
        e = _mm_sha1nexte_epu32(last, first_e);
        abcd = _mm_add_epi32(abcd, before);
    }
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(abcd, 0x1b));
    state[4] = _mm_extract_epi32(e, 3);
}
#else
static int sha_is_here(void) { return 0; }
static void sha_blocks(uint32_t *state, const unsigned char *data, size_t blocks) { (void)state, (void)data, (void)blocks; }
#endif

static uint32_t sha_turned(uint32_t word, int by) { return word << by | word >> (32 - by); }

static void sha_block(uint32_t *state, const unsigned char *data) {
    uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++, data += 4)
        words[i] = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    for (int i = 16; i < 80; i++)
        words[i] = sha_turned(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mixed = i < 20   ? (d ^ (b & (c ^ d))) + 0x5a827999
                         : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                         : i < 60 ? ((b & c) | (d & (b | c))) + 0x8f1bbcdc
                                  : (b ^ c ^ d) + 0xca62c1d6;
        mixed += sha_turned(a, 5) + e + words[i];
        e = d, d = c, c = sha_turned(b, 30), b = a, a = mixed;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

static void sha_all(uint32_t *state, const unsigned char *data, size_t blocks, int by_processor) {
    if (by_processor)
        sha_blocks(state, data, blocks);
    else
        for (; blocks; blocks--, data += 64) sha_block(state, data);
}

/* The 20 bytes of the digest; `by_processor` only where sha_is_here(). */
static void sha1(const unsigned char *data, size_t size, unsigned char *digest, int by_processor) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char last[128] = {0};
    size_t rest = size % 64, blocks = rest < 56 ? 1 : 2;
    sha_all(state, data, size / 64, by_processor);
    memcpy(last, data + size - rest, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++) last[64 * blocks - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
    sha_all(state, last, blocks, by_processor);
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}
