/* Protocol buffers are fields in a row, each a key (number << 3 | kind) and a value: a number of
 * seven bits a byte, four or eight bytes, or a length and bytes, which may be fields again
 * (https://protobuf.dev/programming-guides/encoding). Fields that are not asked for are passed
 * over, of a field that comes twice the last counts. Every length is checked against the bytes
 * that there are. */
#include "text/sentencepiece.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef enum wire { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 } wire;

typedef struct reader {
  const char *at, *end;
  const char *begin; /* of the file, for messages */
  const char *name;
} reader;

typedef struct field {
  uint64_t number;
  wire kind;
  uint64_t value;    /* VARINT, EIGHT_BYTES, FOUR_BYTES */
  const char *bytes; /* BYTES */
  size_t n;
} field;

static cz_status broken(const reader *r, const char *what) {
  return CZ_FAIL(CZ_EINVAL, "%s: byte %zu: %s; not a SentencePiece model, or cut short", r->name,
                 (size_t)(r->at - r->begin), what);
}

static cz_status read_varint(reader *r, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (r->at == r->end) return broken(r, "a number without an end");
    unsigned char c = (unsigned char)*r->at++;
    if (shift < 64) *value |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return CZ_OK;
  }
  return broken(r, "a number of more than ten bytes");
}

static cz_status read_fixed(reader *r, uint64_t *value, size_t n) {
  if ((size_t)(r->end - r->at) < n) return broken(r, "a number without an end");
  *value = 0;
  for (size_t i = 0; i < n; i++) *value |= (uint64_t)(unsigned char)r->at[i] << 8 * i;
  r->at += n;
  return CZ_OK;
}

static cz_status read_bytes(reader *r, field *f) {
  uint64_t n;
  CZ_TRY(read_varint(r, &n));
  if (n > (size_t)(r->end - r->at)) return broken(r, "a field that is longer than what is there");
  f->bytes = r->at;
  f->n = (size_t)n;
  r->at += f->n;
  return CZ_OK;
}

/* The next field, or *MORE is false. */
static cz_status next_field(reader *r, field *f, bool *more) {
  uint64_t key;
  *more = r->at < r->end;
  if (!*more) return CZ_OK;
  *f = (field){0};
  CZ_TRY(read_varint(r, &key));
  f->number = key >> 3;
  f->kind = (wire)(key & 7);
  if (f->number == 0) return broken(r, "a field without a number");
  switch (f->kind) {
  case VARINT: return read_varint(r, &f->value);
  case EIGHT_BYTES: return read_fixed(r, &f->value, 8);
  case FOUR_BYTES: return read_fixed(r, &f->value, 4);
  case BYTES: return read_bytes(r, f);
  default: return broken(r, "a field of a kind that there is not");
  }
}

static reader inside(const reader *r, const field *f) {
  return (reader){.at = f->bytes, .end = f->bytes + f->n, .begin = r->begin, .name = r->name};
}

/* message SentencePiece: piece = 1, score = 2, type = 3. */
static cz_status parse_piece(cz__sp_model *m, reader r) {
  CZ_TRY(cz_grow(&m->pieces, &m->cap, m->n + 1, sizeof *m->pieces));
  cz__sp_piece *p = &m->pieces[m->n++];
  *p = (cz__sp_piece){.text = r.at, .type = CZ__SP_NORMAL};
  field f;
  bool more;
  for (;;) {
    CZ_TRY(next_field(&r, &f, &more));
    if (!more) break;
    if (f.number == 1 && f.kind == BYTES) {
      p->text = f.bytes;
      p->n = f.n;
    } else if (f.number == 2 && f.kind == FOUR_BYTES) {
      uint32_t bits = (uint32_t)f.value;
      memcpy(&p->score, &bits, sizeof p->score);
    } else if (f.number == 3 && f.kind == VARINT) {
      if (f.value < CZ__SP_NORMAL || f.value > CZ__SP_BYTE)
        return broken(&r, "a piece of a type that there is not");
      p->type = (cz__sp_type)f.value;
    } else if (f.number <= 3) {
      return broken(&r, "a piece's text, score or type is of another kind");
    }
  }
  if (cz_utf8_check(p->text, p->n) < p->n || memchr(p->text, '\0', p->n))
    return broken(&r, "a piece that is not UTF-8 text");
  if (!(p->score - p->score == 0)) return broken(&r, "a score that is not finite");
  return CZ_OK;
}

/* message TrainerSpec: model_type = 3, unk_id = 40. */
static cz_status parse_trainer(cz__sp_model *m, reader r) {
  field f;
  bool more;
  for (;;) {
    CZ_TRY(next_field(&r, &f, &more));
    if (!more) return CZ_OK;
    if (f.kind != VARINT) continue;
    if (f.number == 3) m->kind = f.value;
    if (f.number == 40) m->unk_id = f.value;
  }
}

/* message NormalizerSpec: precompiled_charsmap = 2. */
static cz_status parse_normalizer(cz__sp_model *m, reader r) {
  field f;
  bool more;
  for (;;) {
    CZ_TRY(next_field(&r, &f, &more));
    if (!more) return CZ_OK;
    if (f.number != 2 || f.kind != BYTES) continue;
    m->map = f.n > 0 ? f.bytes : NULL;
    m->map_n = f.n;
  }
}

/* message ModelProto: pieces = 1, trainer_spec = 2, normalizer_spec = 3. */
static cz_status parse_model(cz__sp_model *m, reader r) {
  field f;
  bool more;
  for (;;) {
    CZ_TRY(next_field(&r, &f, &more));
    if (!more) return CZ_OK;
    if (f.number > 3) continue;
    if (f.kind != BYTES) return broken(&r, "pieces or settings that are a number");
    reader part = inside(&r, &f);
    CZ_TRY(f.number == 1   ? parse_piece(m, part)
           : f.number == 2 ? parse_trainer(m, part)
                           : parse_normalizer(m, part));
  }
}

/** Reads the N BYTES of the model file NAME, which must outlive M. CZ_EINVAL with the byte where
 * it goes wrong, for a model without pieces, and for an unknown piece that there is not. Free with
 * cz__sp_free, also after a failure. */
cz_status cz__sp_parse(cz__sp_model *m, const char *bytes, size_t n, const char *name) {
  *m = (cz__sp_model){.kind = 1}; /* what the format takes for granted */
  CZ_TRY(parse_model(m, (reader){.at = bytes, .end = bytes + n, .begin = bytes, .name = name}));
  if (m->n == 0) return CZ_FAIL(CZ_EINVAL, "%s: no pieces; not a SentencePiece model", name);
  if (m->unk_id >= m->n || m->n > INT32_MAX / 2)
    return CZ_FAIL(CZ_EINVAL, "%s: the unknown piece is %llu of %zu pieces", name,
                   (unsigned long long)m->unk_id, m->n);
  return CZ_OK;
}

/** Frees the list of pieces and empties the model. */
void cz__sp_free(cz__sp_model *m) {
  free(m->pieces);
  *m = (cz__sp_model){0};
}
