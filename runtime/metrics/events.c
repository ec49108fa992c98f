#include "metrics/events.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct cz_events {
  FILE *file;
  char path[4096];
  cz_buf event, value; /* scratch of one record */
};

static const char name_start[] = "events.out.tfevents.";

/* CRC-32C (Castagnoli; RFC 3720, appendix B.4) of N bytes, bit by bit: records are
 * small. */
static uint32_t crc32c(const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  uint32_t crc = ~0u;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

/* The checksum as TFRecord stores it: rotated by 15 bits, plus a constant. */
static uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8u; }

/* Protocol buffers' wire format: a key (field << 3 | type), then a varint, eight bytes,
 * length and bytes, or four bytes. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static cz_status add_varint(cz_buf *b, uint64_t v) {
  do {
    unsigned char byte = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));
    CZ_TRY(cz_buf_add(b, &byte, 1));
    v >>= 7;
  } while (v);
  return CZ_OK;
}

static cz_status add_key(cz_buf *b, int field, int type) {
  return add_varint(b, (uint64_t)field << 3 | (uint64_t)type);
}

static cz_status add_fixed(cz_buf *b, uint64_t v, int n) { /* little endian */
  for (int i = 0; i < n; i++) {
    unsigned char byte = (unsigned char)(v >> (8 * i));
    CZ_TRY(cz_buf_add(b, &byte, 1));
  }
  return CZ_OK;
}

static cz_status add_bytes(cz_buf *b, int field, const void *bytes, size_t n) {
  CZ_TRY(add_key(b, field, BYTES));
  CZ_TRY(add_varint(b, n));
  return cz_buf_add(b, bytes, n);
}

/* Fields of tensorflow.Event, its Summary, Summary.Value and SessionLog. */
enum {
  EVENT_WALL_TIME = 1,
  EVENT_STEP = 2,
  EVENT_FILE_VERSION = 3,
  EVENT_SUMMARY = 5,
  EVENT_SESSION_LOG = 7,
  SUMMARY_VALUE = 1,
  VALUE_TAG = 1,
  VALUE_SIMPLE = 2,
  SESSION_STATUS = 1,
  SESSION_START = 1
};

static double wall_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cz_status begin_event(cz_events *w, int64_t step) {
  double now = wall_time();
  uint64_t bits;
  memcpy(&bits, &now, sizeof bits);
  w->event.len = w->value.len = 0;
  CZ_TRY(add_key(&w->event, EVENT_WALL_TIME, FIXED64));
  CZ_TRY(add_fixed(&w->event, bits, 8));
  CZ_TRY(add_key(&w->event, EVENT_STEP, VARINT));
  return add_varint(&w->event, (uint64_t)step);
}

static cz_status write_record(cz_events *w) {
  cz_buf head = {0}, tail = {0};
  cz_status st = add_fixed(&head, w->event.len, 8);
  if (st == CZ_OK) st = add_fixed(&head, masked(crc32c(head.data, 8)), 4);
  if (st == CZ_OK) st = add_fixed(&tail, masked(crc32c(w->event.data, w->event.len)), 4);
  if (st == CZ_OK) {
    size_t n = fwrite(head.data, 1, head.len, w->file) +
               fwrite(w->event.data, 1, w->event.len, w->file) +
               fwrite(tail.data, 1, tail.len, w->file);
    if (n != head.len + w->event.len + tail.len)
      st = CZ_FAIL(CZ_EIO, "%s: %s", w->path, strerror(errno));
  }
  cz_buf_free(&head);
  cz_buf_free(&tail);
  return st;
}

static cz_status write_version(cz_events *w) {
  static const char version[] = "brain.Event:2";
  CZ_TRY(begin_event(w, 0));
  CZ_TRY(add_bytes(&w->event, EVENT_FILE_VERSION, version, sizeof version - 1));
  return write_record(w);
}

/* TensorBoard drops what it knows of STEP and later when it meets this. */
static cz_status write_start(cz_events *w, int64_t step) {
  CZ_TRY(begin_event(w, step));
  CZ_TRY(add_key(&w->value, SESSION_STATUS, VARINT));
  CZ_TRY(add_varint(&w->value, SESSION_START));
  CZ_TRY(add_bytes(&w->event, EVENT_SESSION_LOG, w->value.data, w->value.len));
  return write_record(w);
}

/* A second for the file's name: now, or the one behind the latest file's. */
static cz_status name_time(long long *out, const char *folder) {
  DIR *d = opendir(folder);
  if (!d) return CZ_FAIL(CZ_EIO, "%s: %s", folder, strerror(errno));
  *out = (long long)time(NULL);
  for (struct dirent *e; (e = readdir(d));) {
    if (strncmp(e->d_name, name_start, sizeof name_start - 1)) continue;
    long long t = strtoll(e->d_name + sizeof name_start - 1, NULL, 10);
    if (t >= *out && t < 9999999999) *out = t + 1;
  }
  closedir(d);
  return CZ_OK;
}

static cz_status create_file(cz_events *w, const char *folder) {
  char host[256] = "host", name[512];
  long long second = 0;
  CZ_TRY(name_time(&second, folder));
  gethostname(host, sizeof host - 1);
  snprintf(name, sizeof name, "%s%010lld.%.200s", name_start, second, host);
  CZ_TRY(cz_fs_join(w->path, sizeof w->path, folder, name));
  w->file = fopen(w->path, "wbex");
  return w->file ? CZ_OK : CZ_FAIL(CZ_EIO, "%s: %s", w->path, strerror(errno));
}

/** Creates a new event file in FOLDER (made when missing). FIRST_STEP is the first step
 * that this process will write; 0 or 1 for a fresh run, more after a resume: readers
 * then forget what older files say of FIRST_STEP and later steps. The caller closes. */
cz_status cz_events_open(cz_events **writer, const char *folder, int64_t first_step) {
  CZ_TRY(cz_fs_make_dirs(folder));
  CZ_TRY(cz_alloc(writer, 1, sizeof **writer));
  cz_status st = create_file(*writer, folder);
  if (st == CZ_OK) st = write_version(*writer);
  if (st == CZ_OK) st = write_start(*writer, first_step);
  if (st == CZ_OK && fflush((*writer)->file))
    st = CZ_FAIL(CZ_EIO, "%s: %s", (*writer)->path, strerror(errno));
  if (st == CZ_OK) return CZ_OK;
  if ((*writer)->file) fclose((*writer)->file);
  cz_buf_free(&(*writer)->event);
  cz_buf_free(&(*writer)->value);
  free(*writer);
  *writer = NULL;
  return st;
}

/** Adds one point to the curve TAG. TensorBoard keeps float32. Reaches the file when
 * some kilobytes are together, or at cz_events_close. */
cz_status cz_events_scalar(cz_events *writer, const char *tag, int64_t step, double value) {
  float v = (float)value;
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  CZ_TRY(begin_event(writer, step));
  cz_buf *b = &writer->value, summary = {0};
  CZ_TRY(add_bytes(b, VALUE_TAG, tag, strlen(tag)));
  CZ_TRY(add_key(b, VALUE_SIMPLE, FIXED32));
  CZ_TRY(add_fixed(b, bits, 4));
  cz_status st = add_bytes(&summary, SUMMARY_VALUE, b->data, b->len);
  if (st == CZ_OK) st = add_bytes(&writer->event, EVENT_SUMMARY, summary.data, summary.len);
  cz_buf_free(&summary);
  return st == CZ_OK ? write_record(writer) : st;
}

/** Closes the file, clears the pointer, accepts null. */
cz_status cz_events_close(cz_events **writer) {
  if (!*writer) return CZ_OK;
  cz_events *w = *writer;
  cz_status st = fclose(w->file) ? CZ_FAIL(CZ_EIO, "%s: %s", w->path, strerror(errno)) : CZ_OK;
  cz_buf_free(&w->event);
  cz_buf_free(&w->value);
  free(w);
  *writer = NULL;
  return st;
}
