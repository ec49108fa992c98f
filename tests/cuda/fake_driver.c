/* libcuda.so.1 as far as cuDNN asks for it while it makes plans for a card that is not there: every
 * function is there and does nothing, a module is loaded and has every kernel. */
#define NOTHING(name)                                                                              \
  int name(void);                                                                                  \
  int name(void) { return 0; }
NOTHING(cuCtxGetCurrent)
NOTHING(cuCtxGetLimit)
NOTHING(cuCtxPopCurrent)
NOTHING(cuCtxPushCurrent)
NOTHING(cuDeviceGet)
NOTHING(cuDeviceGetCount)
NOTHING(cuFuncGetAttribute)
NOTHING(cuFuncSetAttribute)
NOTHING(cuKernelGetAttribute)
NOTHING(cuKernelSetAttribute)
NOTHING(cuLaunchCooperativeKernel)
NOTHING(cuLaunchKernel)
NOTHING(cuLaunchKernelEx)
NOTHING(cuLibraryLoadFromFile)
NOTHING(cuLibraryUnload)
NOTHING(cuLinkAddData)
NOTHING(cuLinkComplete)
NOTHING(cuLinkCreate)
NOTHING(cuLinkDestroy)
NOTHING(cuModuleUnload)
NOTHING(cuOccupancyAvailableDynamicSMemPerBlock)
NOTHING(cuOccupancyMaxActiveBlocksPerMultiprocessor)
NOTHING(cuOccupancyMaxActiveClusters)
NOTHING(cuOccupancyMaxPotentialClusterSize)
NOTHING(cuStreamGetCtx)

enum { NO_DEVICE = 100, NOT_FOUND = 500 };

#define SOMETHING(name)                                                                            \
  int name(void **out);                                                                            \
  int name(void **out) {                                                                           \
    static char thing;                                                                             \
    *out = &thing;                                                                                 \
    return 0;                                                                                      \
  }
SOMETHING(cuKernelGetFunction)
SOMETHING(cuLibraryGetKernel)
SOMETHING(cuLibraryGetModule)
SOMETHING(cuLibraryLoadData)
SOMETHING(cuModuleGetFunction)
SOMETHING(cuModuleLoadData)
SOMETHING(cuModuleLoadDataEx)
SOMETHING(cuModuleLoadFatBinary)

int cuInit(unsigned flags);
int cuInit(unsigned flags) { return NO_DEVICE; }

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version) {
  *version = 13000;
  return 0;
}

#define WORDS(name)                                                                                \
  int name(int error, const char **text);                                                          \
  int name(int error, const char **text) {                                                         \
    *text = "the driver that is none";                                                             \
    return 0;                                                                                      \
  }
WORDS(cuGetErrorName)
WORDS(cuGetErrorString)

int cuGetProcAddress(const char *name, void **function);
int cuGetProcAddress(const char *name, void **function) {
  *function = 0;
  return NOT_FOUND;
}

int cuGetProcAddress_v2(const char *name, void **function);
int cuGetProcAddress_v2(const char *name, void **function) {
  *function = 0;
  return NOT_FOUND;
}
