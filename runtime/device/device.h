/* Where arrays live and who computes on them.
 *
 * A device is opened by name and lends memory; parameters, batches and activations lie
 * there. The graph asks it for an op's kernels in a dtype, {forward, backward,
 * workspace}, calls them with addresses of that memory, and reads back what it wants to
 * see. Everything above this folder reaches memory through write and read only, so that a
 * device need not be in this process's address space. random.h draws what the host needs,
 * probe.h measures the machine.
 *
 * `ref` computes in float64 on the host and is the oracle; `cpu` computes in float32
 * and bfloat16. `guard:ref` and `guard:cpu` wrap these: fresh memory is poisoned with NaN,
 * sentinels stand around every planned tensor, and both are checked after every op. `cuda` is a
 * module that is opened at run time; `auto` takes it when it works and says in one line
 * what it took and why. `emu` is the same module with its kernels in an emulator on the CPU, for
 * tests; in `emu:check` every access of a kernel is looked at, and `guard:emu` has the guard around
 * `emu`. */
#ifndef CZ_DEVICE_DEVICE_H
#define CZ_DEVICE_DEVICE_H

#include "base/status.h"
#include "kernels/op.h"

typedef struct cz_device cz_device;

typedef struct cz_event cz_event; /* a place in the order of a device's work; the device's own */

enum {
  CZ_PROCESSOR_BYTES = 128, /* of the name of a kind of processor, its NUL included */
  CZ_INFO_BYTES = 256       /* of each text of cz_device_info */
};

/* What a device is, for reports: nothing is decided by it. A text that does not apply is empty. */
typedef struct cz_device_info {
  char name[CZ_INFO_BYTES];       /* the processor's or the card's */
  char driver[CZ_INFO_BYTES];     /* its version */
  char capability[CZ_INFO_BYTES]; /* what its units can compute: instruction sets, or a version */
  char libraries[CZ_INFO_BYTES];  /* those that compute for it, with versions */
  int64_t memory;                 /* bytes in all */
  int cores;                      /* processors, or multiprocessors of a card */
} cz_device_info;

/* Kernels, write, read, read_later, fill, copy and record happen in the order in which they are
 * called. A kernel, read_later, fill, copy or record may return before it has run; write has taken
 * its bytes when it returns, read returns when its bytes have arrived, and release waits until no
 * kernel uses the memory. */
struct cz_device {
  const char *name;
  cz_dtype real;         /* dtype of parameters and activations */
  bool host_memory;      /* its memory is the host's: addresses may be used in place once sync has
                            returned, and the guard does */
  size_t guard_bytes;    /* sentinel bytes on each side of every planned tensor; 0: none */
  void *stream;          /* given to every kernel call: of `cpu` its matrix units, null on ref */
  const char *processor; /* its kind: where it is the same, so are the bits of every result */
  bool warned_of_kind;   /* by cz_device_warn_of_kind */
  cz_status (*alloc)(cz_device *d, void **out, size_t bytes);
  void (*release)(cz_device *d, void *p, size_t bytes);
  cz_status (*write)(cz_device *d, void *to, const void *host, size_t bytes);
  cz_status (*read)(cz_device *d, void *host, const void *from, size_t bytes);
  /* A read that need not have happened when it returns: HOST stays the device's until `arrived`
   * says of the ticket that the bytes are THERE. With WAIT it says so when it returns. Tickets
   * arrive in the order of their reads. */
  cz_status (*read_later)(cz_device *d, void *host, const void *from, size_t bytes,
                          uint64_t *ticket);
  cz_status (*arrived)(cz_device *d, uint64_t ticket, bool wait, bool *there);
  /* The kernels of an op in a dtype, the device's own; null when it does not compute in
   * that dtype. Ask cz_device_kernels, which says what is missing. */
  const cz_kernels *(*kernels)(cz_device *d, cz_op op, cz_dtype dtype);
  cz_status (*sync)(
      cz_device *d); /* returns when all that was called has run; says what went wrong in it */
  /* What went wrong in a launch, or in a library of the device, since it was asked last. Does not
   * wait: the engine asks after every kernel, so that the message can name op and node. What
   * happens later inside a kernel is sync's to say. */
  cz_status (*failed)(cz_device *d);
  cz_status (*fill)(cz_device *d, void *to, int byte, size_t bytes);         /* sets every byte */
  cz_status (*copy)(cz_device *d, void *to, const void *from, size_t bytes); /* no overlap */
  /* An event is made once and may be recorded many times: record takes the place after all that
   * was called so far, await returns when that place is reached (not what was called later), and
   * `between` gives the seconds from one event to another, both of which were awaited. */
  cz_status (*event)(cz_device *d, cz_event **event);
  void (*event_free)(cz_device *d, cz_event **event); /* clears the pointer, accepts null */
  cz_status (*record)(cz_device *d, cz_event *event);
  cz_status (*await)(cz_device *d, cz_event *event);
  double (*between)(cz_device *d, const cz_event *first, const cz_event *second);
  cz_status (*info)(cz_device *d, cz_device_info *info);
  void (*close)(cz_device *d);
};

/* What a device is called, for lists. */
typedef struct cz_device_row {
  const char *name, *help;
  cz_status (*open)(cz_device **device, const struct cz_device_row *row);
  bool host; /* always there; what follows is of such devices */
  cz_dtype real;
  bool guard;
} cz_device_row;

/* Opening and querying. A device that lacks an op or a dtype says which; none falls back
 * to another device in silence. */
const cz_device_row *cz_device_at(size_t i);
CZ_MUST cz_status cz_device_open(cz_device **device, const char *name);
void cz_device_close(cz_device **device);
CZ_MUST cz_status cz_device_kernels(cz_device *d, const cz_kernels **kernels, cz_op op,
                                    const cz_call *call, bool backward);
CZ_MUST cz_status cz_device_computes(cz_device *d, cz_dtype dtype);
CZ_MUST cz_status cz_device_cast(cz_device *d, void *to, cz_dtype to_dtype, const void *from,
                                 cz_dtype from_dtype, int64_t n);
CZ_MUST cz_status cz_device_alloc(cz_device *d, void *out, size_t bytes);
CZ_MUST cz_status cz_device_alloc_for(cz_device *d, void *out, size_t bytes, const char *what);
void cz_device_free(cz_device *d, void *address, size_t bytes);
/* Numbers in and out in float64 on the host's side, rounded to the device's real dtype on
 * the way in and exact on the way out: tests and tools need not know which dtype that
 * is. */
CZ_MUST cz_status cz_device_write_real(cz_device *d, void *to, const double *host, int64_t n);
CZ_MUST cz_status cz_device_read_real(cz_device *d, double *host, const void *from, int64_t n);
CZ_MUST cz_status cz_device_read_as(cz_device *d, double *host, const void *from, int64_t n,
                                    cz_dtype dtype);
/* How bfloat16 is computed on the host, for reports: nothing is decided by them. */
const char *cz_device_matrix_library(void);
struct cz_units *cz_device_units(const cz_device *d);
const char *cz_device_path(const cz_device *d);
const char *cz_device_path_reason(const cz_device *d);
/* With the BLAS kernel the instruction set of our kernels decides the bits of float32
 * results: runs record both, and say so when they go on elsewhere. */
const char *cz_device_processor_kind(cz_dtype real);
void cz_device_warn_of_kind(cz_device *d, const char *what, const char *there);

#endif
