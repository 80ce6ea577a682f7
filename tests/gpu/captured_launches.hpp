#pragma once

#include <cuda_runtime.h>

#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill::testing {

inline void check_cuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess) {
    throw SystemError(std::string(call) + " failed: " + cudaGetErrorString(status));
  }
}

/// Launches on one stream as a graph, so that the host's time for a launch is not measured.
class CapturedLaunches {
 public:
  template <typename Launch>
  CapturedLaunches(cudaStream_t stream, const Launch& launch_all) : stream_(stream) {
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture");
    launch_all();
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    const cudaError_t made = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(made, "cudaGraphInstantiate");
    check_cuda(cudaEventCreate(&begin_), "cudaEventCreate");
    check_cuda(cudaEventCreate(&end_), "cudaEventCreate");
  }
  CapturedLaunches(const CapturedLaunches&) = delete;
  CapturedLaunches& operator=(const CapturedLaunches&) = delete;
  ~CapturedLaunches() {
    if (begin_ != nullptr) cudaEventDestroy(begin_);
    if (end_ != nullptr) cudaEventDestroy(end_);
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  }

  /// Runs all launches once and returns the device's seconds for them.
  [[nodiscard]] double run() const {
    check_cuda(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    check_cuda(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch");
    check_cuda(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) / 1000;
  }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

}  // namespace gridmill::testing
