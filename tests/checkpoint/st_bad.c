/* Files that break one rule of the format each, every truncation, and random
 * mutations. */
#include "checkpoint/safetensors.h"
#include "st_test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define T(name, dtype, shape, offsets)                                                             \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
  const char *header;
  int data; /* bytes behind it */
  const char *message;
} broken[] = {
    {"", 0, "does not start with '{'"},
    {" {}", 0, "does not start with '{'"},
    {"[]", 0, "does not start with '{'"},
    {"{", 0, "header: "},
    {"{} x", 0, "header: "},
    {"{\"a\":1}", 0, "tensor 'a': its entry is not an object"},
    {"{\"a\":{}}", 0, "'a': 'dtype' is missing"},
    {"{\"a\\u0000b\":{}}", 0, "header: "},
    {"{\"\xff\":{}}", 0, "header: "},
    {"{" T("a", "f32", "[1]", "[0,4]") "}", 4, "unknown dtype 'f32'"},
    {"{" T("a", "F32", "1", "[0,4]") "}", 4, "'shape' is missing or not a list"},
    {"{" T("a", "F32", "[1.0]", "[0,4]") "}", 4, "extent 0 of its shape"},
    {"{" T("a", "F32", "[1,-1]", "[0,4]") "}", 4, "extent 1 of its shape"},
    {"{" T("a", "F32", "[99999999999999999999]", "[0,4]") "}", 4, "header: "},
    {"{" T("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0,
     "[4294967296, 4294967296] has too many elements"},
    {"{" T("a", "F64", "[2305843009213693952,4]", "[0,0]") "}", 0, "too many elements"},
    {"{" T("a", "F64", "[1152921504606846976]", "[0,0]") "}", 0, "too many elements"},
    {"{" T("a", "F32", "[1]", "[0]") "}", 4, "list of two whole numbers"},
    {"{" T("a", "F32", "[1]", "[0,4,4]") "}", 4, "list of two whole numbers"},
    {"{" T("a", "F32", "[1]", "[0.0,4]") "}", 4, "list of two whole numbers"},
    {"{" T("a", "F32", "[1]", "{}") "}", 4, "list of two whole numbers"},
    {"{" T("a", "F32", "[1]", "[-4,0]") "}", 4, "[-4, 0] are not in order"},
    {"{" T("a", "F32", "[1]", "[4,0]") "}", 4, "[4, 0] are not in order"},
    {"{" T("a", "F32", "[1]", "[0,5]") "}", 5,
     "[1] of F32 needs 4 bytes but data_offsets [0, 5] hold 5"},
    {"{" T("a", "F32", "[0,3]", "[0,4]") "}", 4, "needs 0 bytes"},
    {"{" T("a", "F4", "[3]", "[0,2]") "}", 2, "not a whole number of bytes"},
    {"{" T("a", "F32", "[1]", "[4,8]") "}", 8,
     "'a' begins at byte 4 of the data but the one before ends at 0"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[8,12]") "}", 12,
     "'b' begins at byte 8 of the data but the one before ends at 4"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[1]", "[4,8]") "}", 8,
     "'b' begins at byte 4 of the data but the one before ends at 8"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8, "duplicate"},
    {"{" T("a", "F32", "[1]", "[0,4]") "}", 5,
     "'a' ends at byte 4 but the file holds 5 bytes of data: bytes are left over"},
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 4,
     "'a' ends at byte 8 but the file holds 4 bytes of data: it is truncated"},
    {"{}", 1, "ends at byte 0 but the file holds 1"},
    {"{\"a\":null}", 0, "tensor 'a': its entry is not an object"},
    {"{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "'a': 'dtype' is missing or not a text"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'shape' is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "list of two whole numbers"},
    {"{" T("a", "F32", "[true]", "[0,4]") "}", 4, "extent 0 of its shape"},
    {"{" T("a", "F32", "[1]", "[0,18446744073709551616]") "}", 4, "header: "},
    {"{" T("a", "F32", "[1]", "[0,9223372036854775807]") "}", 4,
     "[1] of F32 needs 4 bytes but data_offsets [0, 9223372036854775807] hold"},
    {"{" T("a", "F32", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4,
     "'a' begins at byte 9223372036854775803 of the data but the one before ends at 0"},
    {"{" T("a", "F6_E2M3", "[2]", "[0,2]") "}", 2, "not a whole number of bytes"},
    {"{" T("a", "BOOL", "[9]", "[0,8]") "}", 8, "[9] of BOOL needs 9 bytes"},
    {"{" T("a", "C64", "[1]", "[0,4]") "}", 4, "[1] of C64 needs 8 bytes"},
    {"{" T("a", "F32", "[]", "[0,0]") "}", 0, "[] of F32 needs 4 bytes"},
    {"{\"__metadata__\":null}", 0, "'__metadata__' is not an object"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
    {"{\"__metadata__\":[]}", 0, "'__metadata__' is not an object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "the value of 'a' is not a text"},
};

static void write_raw(const char *path, uint64_t length, const char *header, size_t n, int data) {
  cz_buf file = {0};
  OK(cz_buf_add(&file, &length, sizeof length));
  OK(cz_buf_add(&file, header, n));
  for (int i = 0; i < data; i++) OK(cz_buf_add(&file, "d", 1));
  write_bytes(path, file.data, file.len);
  cz_buf_free(&file);
}

void test_bad_headers(void **state) {
  const char *path = under("bad.safetensors");
  cz_safetensors *s = NULL;
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    size_t n = strlen(broken[i].header);
    write_raw(path, n, broken[i].header, n, broken[i].data);
    FAILS(cz_safetensors_open(&s, path), CZ_EINVAL, broken[i].message);
    assert_non_null(strstr(cz_error_message(), "bad.safetensors"));
    assert_null(s);
  }
  const char fine[] =
      "{" T("b", "F32", "[]", "[0,4]") "," T("a", "U8", "[0,9223372036854775807]", "[0,0]") "}   ";
  write_raw(path, strlen(fine), fine, strlen(fine),
            4); /* spaces behind, offsets out of order of names, nothing along an axis */
  OK(cz_safetensors_open(&s, path));
  assert_int_equal(cz_safetensors_find(s, "b")->begin, 8 + strlen(fine));
  cz_safetensors_close(&s);
}

void test_bad_sizes(void **state) {
  const char *path = under("bad.safetensors");
  cz_safetensors *s = NULL;
  write_bytes(path, "", 0);
  FAILS(cz_safetensors_open(&s, path), CZ_EINVAL, "0 bytes are too few");
  write_raw(path, 100000001, "{}", 2, 0);
  FAILS(cz_safetensors_open(&s, path), CZ_EINVAL,
        "header of 100000001 bytes; the format allows 100000000");
  write_raw(path, UINT64_MAX - 3, "{}", 2, 0);
  FAILS(cz_safetensors_open(&s, path), CZ_EINVAL, "the format allows");
  write_raw(path, 3, "{}", 2, 0);
  FAILS(cz_safetensors_open(&s, path), CZ_EINVAL,
        "header of 3 bytes in a file of 10: it is truncated");
  enum { DEEP = 100000 };
  char *nested = calloc(DEEP + 1, 1); /* a parser that recurses would end the process */
  memcpy(memset(nested, '[', DEEP), "{\"a\":", 5);
  write_raw(path, DEEP, nested, DEEP, 0);
  FAILS(cz_safetensors_open(&s, path), CZ_EINVAL, "bad.safetensors: header: ");
  free(nested);
  FAILS(cz_safetensors_open(&s, under("nobody")), CZ_EIO, "nobody");
  FAILS(cz_safetensors_open(&s, folder()), CZ_EINVAL, "is a folder, not a regular file");
  assert_int_equal(mkfifo(under("fifo.safetensors"), 0600), 0); /* opening it would wait */
  FAILS(cz_safetensors_open(&s, under("fifo.safetensors")), CZ_EINVAL,
        "fifo.safetensors: is a FIFO, not a regular file");
}

/* What stands where weights should, called by its name. */
void test_other_files(void **state) {
  static const struct {
    const char *bytes;
    size_t n;
    const char *message;
  } other[] = {
#define BYTES(text) text, sizeof(text) - 1
      {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 990345061\n"),
       "bad.safetensors: a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"},
      {BYTES("PK\3\4\0\0\10\10\0\0\0\0"), "a zip archive, as PyTorch saves"},
      {BYTES("\200\2\212\nl\374\234F\371 j\250P\31."), "a pickle, as PyTorch saves"},
      {BYTES("\211HDF\r\n\032\n\0\0\0\0"), "an HDF5 file"},
      {BYTES("<!DOCTYPE html><html>Not found</html>"), "HTML or XML"},
#undef BYTES
  };
  const char *path = under("bad.safetensors");
  cz_safetensors *s = NULL;
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    write_bytes(path, other[i].bytes, other[i].n);
    FAILS(cz_safetensors_open(&s, path), CZ_EINVAL, other[i].message);
  }
  char header[0x280]; /* a header of 640 bytes begins like a pickle, one of 60 like HTML */
  for (size_t n = 60; n <= sizeof header; n += sizeof header - 60) {
    memset(header, ' ', n);
    memcpy(header, "{}", 2);
    write_raw(path, n, header, n, 0);
    OK(cz_safetensors_open(&s, path));
    cz_safetensors_close(&s);
  }
}

void test_every_truncation(void **state) {
  const char *path = under("cut.safetensors");
  cz_buf whole = {0};
  cz_safetensors *s = NULL;
  slurp(&whole, CZ_SOURCE_DIR "/tests/fixtures/safetensors/library.safetensors");
  for (size_t n = 0; n < whole.len; n++) {
    write_bytes(path, whole.data, n);
    FAILS(cz_safetensors_open(&s, path), CZ_EINVAL, "cut.safetensors");
  }
  cz_buf_free(&whole);
}

/* The file loses its end after it was opened. */
void test_shrunk_later(void **state) {
  const char *path = under("shrunk.safetensors");
  const int64_t seven = 7, six[2] = {2, 3};
  float out[8];
  cz_buf whole = {0};
  cz_safetensors *s;
  slurp(&whole, CZ_SOURCE_DIR "/tests/fixtures/safetensors/library.safetensors");
  write_bytes(path, whole.data, whole.len);
  OK(cz_safetensors_open(&s, path));
  assert_int_equal(truncate(path, (off_t)whole.len - 1), 0);
  FAILS(cz_safetensors_read_f32(s, out, "d.f16", &seven, 1), CZ_EIO,
        "reading d.f16: the file ends at byte");
  OK(cz_safetensors_read_f32(s, out, "a.f32", six, 2));
  cz_safetensors_close(&s);
  cz_buf_free(&whole);
}

void test_bad_indices(void **state) {
  static const struct {
    const char *index, *message;
    cz_status code;
  } bad[] = {
      {"", "index.json:1:", CZ_EINVAL},
      {"{}", "'weight_map' is missing", CZ_EINVAL},
      {"{\"weight_map\":[]}", "'weight_map' is missing", CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":3}}", "weight_map.a.f32: ", CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"s1\\u0000/../s2\"}}", "the text holds a NUL character",
       CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"../s\"}}", "'../s', which is not a file of the same folder",
       CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"\"}}", "not a file of the same folder", CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"gone\"}}", "index/gone: No such file", CZ_EIO},
      {"{\"weight_map\":{\"a.f32\":\"s3\"}}", "index/s3: header of", CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"s1\",\"a.f32\":\"s2\"}}", "duplicate", CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"s1\",\"zz\":\"s2\"}}", "'zz' is mapped to", CZ_EINVAL},
      {"{\"weight_map\":{\"a.f32\":\"s1\",\"b.f64\":\"s2\"}}", "'b.f64' is mapped to", CZ_EINVAL}};
  cz_safetensors *s = NULL;
  cz_buf whole = {0};
  const int64_t one = 1;
  float x = 7;
  cz_safetensors_item other = {"x", CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F32, 1, &one, &x};
  fresh_folder(under("index"));
  slurp(&whole, CZ_SOURCE_DIR "/tests/fixtures/safetensors/library.safetensors");
  write_bytes(under("index/s1"), whole.data, whole.len);
  OK(cz_safetensors_write(under("index/s2"), &other, 1));
  write_bytes(under("index/s3"), whole.data, 100); /* a shard that was cut */
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    write_bytes(under("index/model.safetensors.index.json"), bad[i].index, strlen(bad[i].index));
    FAILS(cz_safetensors_open_model(&s, under("index")), bad[i].code, bad[i].message);
    assert_null(s);
  }
  const char good[] = "{\"weight_map\":{\"a.f32\":\"s1\",\"x\":\"s2\"}}";
  write_bytes(under("index/model.safetensors.index.json"), good, strlen(good));
  OK(cz_safetensors_open_model(&s, under("index")));
  assert_int_equal(cz_safetensors_count(s), 2);
  cz_safetensors_close(&s);
  OK(cz_safetensors_write(under("index/model.safetensors"), &other, 1)); /* where both are */
  OK(cz_safetensors_open_model(&s, under("index")));
  assert_int_equal(cz_safetensors_count(s), 1);
  cz_safetensors_close(&s);
  cz_buf_free(&whole);
}

static void read_everything(cz_safetensors *s) {
  for (size_t i = 0; i < cz_safetensors_count(s); i++) {
    const cz_safetensors_info *t = cz_safetensors_at(s, i);
    double *out =
        calloc(t->elements + 1, sizeof *out); /* no more elements than the file has bits */
    assert_non_null(out);
    if (t->rank && cz_safetensors_read_f64(s, out, t->name, t->dims, t->rank) != CZ_OK)
      assert_non_null(strstr(cz_error_message(), t->name));
    free(out);
  }
}

/* One to four random edits of a good file: bytes set, removed, doubled, swapped for
 * JSON's own signs. Nothing may crash; what opens can be read. */
void test_mutations(void **state) {
  const char *path = under("mutant.safetensors");
  cz_buf whole = {0}, mutant = {0};
  int opened = 0;
  slurp(&whole, CZ_SOURCE_DIR "/tests/fixtures/safetensors/library.safetensors");
  for (uint32_t k = 0; k < 3000; k++) {
    cz_stream r;
    cz_stream_init(&r, test_seed(), "mutation", k, 0);
    mutant.len = 0;
    OK(cz_buf_add(&mutant, whole.data, whole.len));
    for (uint64_t edits = cz_stream_below(&r, 4) + 1; edits; edits--) {
      size_t at = cz_stream_below(&r, mutant.len), n = cz_stream_below(&r, 8) + 1;
      switch (cz_stream_below(&r, 4)) {
      case 0: mutant.data[at] = (char)cz_stream_u32(&r); break;
      case 1: mutant.data[at] = "{}[]\",:0123456789-.eE\\u "[cz_stream_below(&r, 24)]; break;
      case 2:
        if (at + n < mutant.len) {
          memmove(mutant.data + at, mutant.data + at + n, mutant.len - at - n);
          mutant.len -= n;
        }
        break;
      default:
        if (at + n < mutant.len)
          memcpy(mutant.data + at, whole.data + cz_stream_below(&r, whole.len - n), n);
      }
    }
    write_bytes(path, mutant.data, mutant.len);
    cz_safetensors *s = NULL;
    if (cz_safetensors_open(&s, path) == CZ_OK) {
      opened++;
      read_everything(s);
    } else {
      assert_non_null(strstr(cz_error_message(), "mutant.safetensors"));
    }
    cz_safetensors_close(&s);
  }
  assert_in_range(opened, 50, 2500); /* edits of data and of names open; most others do not */
  cz_buf_free(&whole);
  cz_buf_free(&mutant);
}
