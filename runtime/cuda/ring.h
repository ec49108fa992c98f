/* Pinned memory of the host that copies to and from the card go through, since only such copies run
 * while the host goes on. A ring of bytes, cut into the pieces of copies in their order; each piece
 * has an event that is reached when its copy has run. When there is no room, the oldest piece is
 * waited for and taken back: of a read its bytes go to the reader then, so that no number of reads
 * that nobody asks for can stop the ring. */
#ifndef CZ_CUDA_RING_H
#define CZ_CUDA_RING_H

#include "base/status.h"
#include "kernels/common/language.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

CZ_C_BEGIN

enum { CZ_CUDA_PIECES = 256 };          /* at most at once */
enum { CZ_CUDA_PIECE_BYTES = 1 << 20 }; /* of one at most */
enum { CZ_CUDA_RING_BYTES = 8 << 20 };

struct cz_cuda;

typedef struct cz_cuda_piece {
  cudaEvent_t event; /* made once for each place */
  uint64_t end;      /* of its bytes, counted from the first of all pieces */
  void *host;        /* of a read: where its bytes go; null of a write */
  const unsigned char *bytes;
  size_t n;
  uint64_t launched; /* launches that were before it */
} cz_cuda_piece;

typedef struct cz_cuda_ring {
  unsigned char *memory; /* null until something is copied */
  uint64_t head, tail;   /* bytes that were lent, and that were taken back; gaps count */
  uint64_t lent, back;   /* pieces that were lent, and that were taken back */
  cz_cuda_piece piece[CZ_CUDA_PIECES];
} cz_cuda_ring;

CZ_MUST cz_status cz_cuda_ring_write(struct cz_cuda *c, void *to, const void *host, size_t bytes);
CZ_MUST cz_status cz_cuda_ring_read(struct cz_cuda *c, void *host, const void *from, size_t bytes,
                                    uint64_t *ticket);
CZ_MUST cz_status cz_cuda_ring_arrived(struct cz_cuda *c, uint64_t ticket, bool wait, bool *there);
void cz_cuda_ring_close(cz_cuda_ring *r);

CZ_C_END

#endif
