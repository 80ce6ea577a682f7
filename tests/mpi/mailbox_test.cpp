#include "gridmill/grid/mailbox.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill {
namespace {

struct Request {
  int number = 0;
  double value = 0;
};

Message wait_for_message(Mailbox& mailbox) {
  while (true) {
    if (auto message = mailbox.poll()) return *message;
  }
}

TEST(Mailbox, IsEmptyWhenNobodyHasSent) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  Mailbox mailbox(world);
  EXPECT_FALSE(mailbox.poll().has_value());
}

TEST(Mailbox, AServerAnswersEveryRankItselfIncluded) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  Mailbox mailbox(world);
  constexpr int kAsk = 1;
  constexpr int kAnswer = 2;
  for (int number = 0; number < 3; ++number) mailbox.send(0, kAsk, Request{number, 0.5});
  int answered = 0;
  std::vector<int> answers;
  while (answers.size() < 3 || (world.rank() == 0 && answered < 3 * world.size())) {
    const auto message = mailbox.poll();
    if (!message) continue;
    if (message->tag == kAsk) {
      const auto request = message->as<Request>();
      mailbox.send(message->from, kAnswer, request.number * 10 + message->from);
      ++answered;
    } else {
      EXPECT_EQ(message->from, 0);
      answers.push_back(message->as<int>());
    }
  }
  const int rank = world.rank();
  EXPECT_EQ(answers, (std::vector<int>{rank, 10 + rank, 20 + rank}));
}

TEST(Mailbox, DoesNotMeetMessagesOfAnother) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  Mailbox first(world);
  Mailbox second(world);
  first.send(world.rank(), 0, 1);
  second.send(world.rank(), 0, 2);
  EXPECT_EQ(wait_for_message(second).as<int>(), 2);
  EXPECT_EQ(wait_for_message(first).as<int>(), 1);
}

TEST(Mailbox, AMessageOfAnotherTypeOrTooLongIsABugOfOurs) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  Mailbox mailbox(world);
  const std::vector<std::byte> longest(Mailbox::kMaxBytes, std::byte{7});
  mailbox.send(world.rank(), 0, longest);
  const Message message = wait_for_message(mailbox);
  EXPECT_EQ(message.bytes, longest);
  EXPECT_THROW(static_cast<void>(message.as<int>()), InternalError);
  EXPECT_THROW(mailbox.send(0, 0, std::vector<std::byte>(Mailbox::kMaxBytes + 1)), InternalError);
}

}  // namespace
}  // namespace gridmill
