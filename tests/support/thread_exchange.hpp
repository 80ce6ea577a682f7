#pragma once

#include <barrier>
#include <cstddef>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "gridmill/base/device.hpp"

namespace gridmill::test {

/// A group of ranks that are threads of one process; host memory only.
class ThreadGroup {
 public:
  explicit ThreadGroup(int size) : barrier_(size), parts_(static_cast<std::size_t>(size)) {}

  /// Runs `body(exchange)` on one thread a rank; rethrows the first error after all have ended. A
  /// rank that fails leaves the group.
  void run(const std::function<void(Exchange&)>& body) {
    std::vector<std::exception_ptr> errors(parts_.size());
    std::vector<std::thread> threads;
    for (std::size_t rank = 0; rank < parts_.size(); ++rank) {
      threads.emplace_back([&, rank] {
        Member member(*this, static_cast<int>(rank));
        try {
          body(member);
        } catch (...) {
          errors[rank] = std::current_exception();
        }
        barrier_.arrive_and_drop();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors) {
      if (error) std::rethrow_exception(error);
    }
  }

 private:
  class Member final : public Exchange {
   public:
    Member(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}
    [[nodiscard]] int size() const override { return static_cast<int>(group_.parts_.size()); }
    [[nodiscard]] int rank() const override { return rank_; }
    void all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                    std::byte* whole) override {
      stream.synchronize();
      all_gather_host(part, part_bytes, whole);
    }
    void all_gather_host(const void* part, std::size_t part_bytes, void* whole) override {
      group_.parts_[static_cast<std::size_t>(rank_)] = part;
      group_.barrier_.arrive_and_wait();
      for (std::size_t from = 0; from < group_.parts_.size(); ++from) {
        if (part_bytes > 0) {
          std::memcpy(static_cast<std::byte*>(whole) + from * part_bytes, group_.parts_[from],
                      part_bytes);
        }
      }
      group_.barrier_.arrive_and_wait();
    }
    [[nodiscard]] bool any(bool value) override {
      const char mine = value ? 1 : 0;
      std::vector<char> all(group_.parts_.size());
      all_gather_host(&mine, 1, all.data());
      for (const char one : all) {
        if (one != 0) return true;
      }
      return false;
    }

   private:
    ThreadGroup& group_;
    int rank_;
  };

  std::barrier<> barrier_;
  std::vector<const void*> parts_;
};

}  // namespace gridmill::test
