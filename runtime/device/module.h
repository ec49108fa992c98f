/* What the program and a device's module agree on. A module is a shared object that is opened at
 * run time, so that the program needs no library of a vendor: it brings a device and its kernels.
 *
 * It is compiled apart, perhaps from another state of this tree, and linked with nothing of it.
 * So it first compares versions, sizes and the list of ops with the program's (cz_module_refuses)
 * and says by name what differs; and what it needs of the program it calls through cz_host_api.
 * module_side.h makes CZ_FAIL, CZ_TRY and CZ_NOTE work in a module. */
#ifndef CZ_DEVICE_MODULE_H
#define CZ_DEVICE_MODULE_H

#include "base/status.h"
#include "device/device.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

CZ_C_BEGIN

/* Another number for every change of meaning that sizes do not show. */
enum { CZ_MODULE_VERSION = 10 };

/* Names of all ops in the order of their numbers, each with a blank behind it. */
#define CZ_OP(name) #name " "
static const char cz_module_ops[] =
#include "kernels/ops.def"
    ;
#undef CZ_OP

typedef struct cz_host_api { /* the program's, static */
  uint32_t version, api_bytes, device_bytes, kernels_bytes, call_bytes;
  const char *ops;
  cz_status (*raise)(cz_status code, const char *file, int line, const char *message);
  cz_status (*trace)(cz_status code, const char *file, int line, const char *expression);
  cz_status (*note)(cz_status code, const char *file, int line, const char *message);
  const char *(*message)(void); /* of what was raised last */
  void (*clear)(void);
  void (*log)(const char *text), (*warn)(const char *text);
  bool (*library)(const char *file); /* loads it from NVIDIA's folders, so that the loader knows it
                                        by its name then; false: it is in none */
  void (*places)(char *text, size_t n); /* those folders */
} cz_host_api;

/* A module's symbol, `cz_module_device`: the device WHICH, which the caller closes, or null
 * with the reason in WHY. */
typedef cz_device *(*cz_module_device_fn)(const cz_host_api *host, const char *which, char *why,
                                          size_t why_bytes);

/* Libraries of NVIDIA's that the CUDA module computes by. */
enum { CZ_LIBRARY_CUBLASLT, CZ_LIBRARY_CUDNN, CZ_LIBRARIES };

typedef struct cz_library_info {
  char version[32], path[1024]; /* empty: it was not found */
  char why[1024];               /* it was not found, or is not used; empty: it is used */
} cz_library_info;

/* A second symbol of the CUDA module alone, `cz_module_libraries`: what was found of each, with or
 * without a card. False, with the reason in WHY, when the module was built for another program. */
typedef bool (*cz_module_libraries_fn)(const cz_host_api *host, cz_library_info out[CZ_LIBRARIES],
                                       char *why, size_t why_bytes);

static inline bool cz_module_size_differs(uint32_t theirs, size_t ours, const char *what, char *why,
                                          size_t n) {
  if (theirs == ours) return false;
  snprintf(why, n, "it was built for another %s: %zu bytes, the program's has %u", what, ours,
           theirs);
  return true;
}

/* Called by a module before anything else: whether it was built for another program, and WHY. */
static inline bool cz_module_refuses(const cz_host_api *host, char *why, size_t n) {
  if (host->version != CZ_MODULE_VERSION) {
    snprintf(why, n, "it was built for version %d of modules, the program has version %u",
             CZ_MODULE_VERSION, host->version);
    return true;
  }
  if (cz_module_size_differs(host->api_bytes, sizeof *host, "cz_host_api", why, n) ||
      cz_module_size_differs(host->device_bytes, sizeof(cz_device), "cz_device", why, n) ||
      cz_module_size_differs(host->kernels_bytes, sizeof(cz_kernels), "cz_kernels", why, n) ||
      cz_module_size_differs(host->call_bytes, sizeof(cz_call), "cz_call", why, n))
    return true;
  if (!strcmp(host->ops, cz_module_ops)) return false;
  snprintf(why, n, "it was built for other ops: %s; the program has: %s", cz_module_ops, host->ops);
  return true;
}

/* The program's side: the device WHICH of the module. CZ_EUSAGE with the reason. */
CZ_MUST cz_status cz_module_open(cz_device **device, const char *which);
/* The libraries of the CUDA module. CZ_EUSAGE where there is none that fits. */
CZ_MUST cz_status cz_module_find_libraries(cz_library_info out[CZ_LIBRARIES]);

CZ_C_END

#endif
