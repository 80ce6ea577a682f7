#include "kernels/cuda/device_choice.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cuda {

int choose_device(int node_rank, int devices, bool share) {
  if (node_rank >= devices && !share) {
    throw ResourceError(
        fmt::format("this node has more ranks than its {} devices; start one rank a device, or let "
                    "ranks share devices with --share-gpu",
                    devices));
  }
  return node_rank % devices;
}

}  // namespace gridmill::cuda
