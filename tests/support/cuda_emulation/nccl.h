// What the cuda backend uses of NCCL, for processes and threads of one host; see collectives.cpp.
#pragma once

#include <cstddef>

struct CUstream_st;
struct ncclComm;
using ncclComm_t = ncclComm*;
enum ncclResult_t { ncclSuccess = 0, ncclSystemError = 2, ncclInvalidUsage = 5 };
enum ncclDataType_t { ncclInt8 = 0 };
struct ncclUniqueId {
  char internal[128];
};

ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
/// Two ranks on one device are refused, as NCCL does.
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclAllGather(const void* part, void* whole, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, CUstream_st* stream);
