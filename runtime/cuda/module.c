/* The symbol that opens the module's device, and the card that it takes. */
#include "cuda/context.h"

#include <stdio.h>
#include <stdlib.h>

static void version_text(char *text, size_t n, int version) {
  snprintf(text, n, "%d.%d", version / 1000, version % 1000 / 10);
}

/* Any driver of the toolkit's major version runs what it compiled. */
static bool driver_serves(const cz_cuda_card *card, char *why, size_t n) {
  char has[16], needs[16];
  if (card->driver == 0) {
    snprintf(why, n,
             "there is no NVIDIA driver: libcuda.so.1 was not found (nvidia-smi says whether one "
             "is installed; a container has to be given it)");
    return false;
  }
  if (card->driver / 1000 >= card->runtime / 1000) return true;
  version_text(has, sizeof has, card->driver);
  version_text(needs, sizeof needs, card->runtime / 1000 * 1000);
  snprintf(why, n, "the NVIDIA driver is too old: it is for CUDA %s, this module needs one for %s",
           has, needs);
  return false;
}

static bool card_there(cz_cuda_card *card, char *why, size_t n) {
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  const cudaError_t error = cudaGetDeviceCount(&card->cards);
  if (error == cudaSuccess && card->cards > 0) return true;
  if (error == cudaSuccess || error == cudaErrorNoDevice)
    snprintf(why, n, "there is no NVIDIA card%s%s", visible ? ": CUDA_VISIBLE_DEVICES is " : "",
             visible ? visible : "");
  else
    snprintf(why, n, "the NVIDIA driver finds no card: %s (%s)", cudaGetErrorName(error),
             cudaGetErrorString(error));
  return false;
}

static bool read_card(cz_cuda_card *card, char *why, size_t n) {
  struct cudaDeviceProp p;
  cudaError_t error = cudaSetDevice(0);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&p, 0);
  if (error != cudaSuccess) {
    snprintf(why, n, "the first card cannot be used: %s (%s)", cudaGetErrorName(error),
             cudaGetErrorString(error));
    return false;
  }
  snprintf(card->name, sizeof card->name, "%s", p.name);
  card->major = p.major;
  card->minor = p.minor;
  card->multiprocessors = p.multiProcessorCount;
  card->memory = p.totalGlobalMem;
  card->shared = p.sharedMemPerBlockOptin;
  return true;
}

/** The first card that CUDA shows (CUDA_VISIBLE_DEVICES chooses); false, with WHY, when there is
 * none that can be used. */
bool cz_cuda_card_find(cz_cuda_card *card, char *why, size_t n) {
  memset(card, 0, sizeof *card);
  if (cudaRuntimeGetVersion(&card->runtime) != cudaSuccess) card->runtime = CUDART_VERSION;
  if (cudaDriverGetVersion(&card->driver) != cudaSuccess) card->driver = 0;
  if (!driver_serves(card, why, n) || !card_there(card, why, n) || !read_card(card, why, n))
    return false;
  if (card->major >= 8) return true;
  snprintf(why, n, "the %s is too old: it has compute capability %d.%d, 8.0 is needed", card->name,
           card->major, card->minor);
  return false;
}

__attribute__((visibility("default"))) cz_device *
cz_module_device(const cz_host_api *host, const char *which, char *why, size_t why_bytes);

/** A module's symbol (device/module.h). */
cz_device *cz_module_device(const cz_host_api *host, const char *which, char *why,
                            size_t why_bytes) {
  const char *const *name = cz_cuda_module.names;
  cz_cuda_card card;
  cz_device *device;
  if (cz_module_refuses(host, why, why_bytes)) return NULL;
  cz_host = host;
  while (*name && strcmp(*name, which)) name++;
  if (!*name) {
    snprintf(why, why_bytes, "it has no device %s", which);
    return NULL;
  }
  if (cz_cuda_module.refuses && cz_cuda_module.refuses(why, why_bytes)) return NULL;
  if (!cz_cuda_card_find(&card, why, why_bytes)) return NULL;
  if (cz_cuda_open(&device, *name, &card) == CZ_OK) return device;
  snprintf(why, why_bytes, "%s", host->message());
  host->clear();
  return NULL;
}
