// SPDX-License-Identifier: GPL-2.0
/* SHA-256 (FIPS 180-4) and HMAC (RFC 2104), for a few bytes once in a while. */
#include <string.h>

#include "sha256.h"

/* Longest message of hmac_sha256(); longer ones are cut, see there. */
#define HMAC_DATA_MAX	64

static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t rotate(uint32_t x, unsigned int by)
{
	return x >> by | x << (32 - by);
}

static void add_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t w[64], s[8];
	unsigned int i;

	for (i = 0; i < 16; i++, block += 4)
		w[i] = (uint32_t)block[0] << 24 | block[1] << 16 |
		       block[2] << 8 | block[3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^
			w[i - 15] >> 3) +
		       (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^
			w[i - 2] >> 10);
	memcpy(s, state, sizeof(s));
	for (i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + constants[i] + w[i] +
			      (rotate(s[4], 6) ^ rotate(s[4], 11) ^
			       rotate(s[4], 25)) +
			      ((s[4] & s[5]) ^ (~s[4] & s[6]));
		uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^
			       rotate(s[0], 22)) +
			      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(s[0]));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		state[i] += s[i];
}

/**
 * sha256() - digest of a message
 * @data: the message
 * @len: its bytes
 * @digest: the result
 */
void sha256(const void *data, size_t len, uint8_t digest[SHA256_SIZE])
{
	uint32_t state[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
	};
	uint8_t last[2 * SHA256_BLOCK] = { 0 };
	const uint8_t *p = data;
	uint64_t bits = (uint64_t)len * 8;
	size_t rest, end;
	unsigned int i;

	for (rest = len; rest >= SHA256_BLOCK; rest -= SHA256_BLOCK) {
		add_block(state, p);
		p += SHA256_BLOCK;
	}
	if (rest)
		memcpy(last, p, rest);
	last[rest] = 0x80;
	end = rest + 9 <= SHA256_BLOCK ? SHA256_BLOCK : 2 * SHA256_BLOCK;
	for (i = 0; i < 8; i++)
		last[end - 1 - i] = bits >> (8 * i);
	add_block(state, last);
	if (end > SHA256_BLOCK)
		add_block(state, last + SHA256_BLOCK);
	for (i = 0; i < SHA256_SIZE; i++)
		digest[i] = state[i / 4] >> (24 - 8 * (i % 4));
}

/**
 * hmac_sha256() - keyed digest of a short message
 * @key: the key
 * @key_len: its bytes, at most SHA256_BLOCK; what is beyond is ignored
 * @data: the message
 * @len: its bytes, at most HMAC_DATA_MAX; what is beyond is ignored
 * @digest: the result
 */
void hmac_sha256(const uint8_t *key, size_t key_len, const uint8_t *data,
		 size_t len, uint8_t digest[SHA256_SIZE])
{
	uint8_t inner[SHA256_BLOCK + HMAC_DATA_MAX];
	uint8_t outer[SHA256_BLOCK + SHA256_SIZE];
	size_t i;

	if (key_len > SHA256_BLOCK)
		key_len = SHA256_BLOCK;
	if (len > HMAC_DATA_MAX)
		len = HMAC_DATA_MAX;
	for (i = 0; i < SHA256_BLOCK; i++) {
		uint8_t k = i < key_len ? key[i] : 0;

		inner[i] = k ^ 0x36;
		outer[i] = k ^ 0x5c;
	}
	memcpy(inner + SHA256_BLOCK, data, len);
	sha256(inner, SHA256_BLOCK + len, outer + SHA256_BLOCK);
	sha256(outer, sizeof(outer), digest);
}
