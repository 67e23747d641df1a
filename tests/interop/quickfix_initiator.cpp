// A QuickFIX initiator as a trading firm would run it: the library as it is, a file store, the
// venue's dictionary with every check on. It sends a burst of orders that trade with each other,
// is cut off by others in the middle of it, comes back by itself, and reconciles from its reports.
//
// quickfix_initiator CONFIG USER PASSWORD SYMBOL ORDERS
// Prints one line of JSON. Exit code 0: every order has its end exactly once.

#include <quickfix/Application.h>
#include <quickfix/FileLog.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketInitiator.h>
#include <quickfix/Values.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace {

struct Order {
  char side = 0;
  double quantity = 0;
  double filled = 0;
  double leaves = -1;
  int accepted = 0;
  int ended = 0;
};

class Firm : public FIX::Application {
public:
  Firm(std::string user, std::string password)
      : user_(std::move(user)), password_(std::move(password)) {}

  void onCreate(const FIX::SessionID &id) override { id_ = id; }
  void onLogon(const FIX::SessionID &) override {
    std::lock_guard<std::mutex> lock(mutex_);
    ++logons;
    up = true;
    changed_.notify_all();
  }
  void onLogout(const FIX::SessionID &) override {
    std::lock_guard<std::mutex> lock(mutex_);
    up = false;
    changed_.notify_all();
  }
  void toAdmin(FIX::Message &message, const FIX::SessionID &) override {
    const std::string type = message.getHeader().getField(FIX::FIELD::MsgType);
    if (type == "A") {
      message.setField(553, user_);
      message.setField(554, password_);
    } else if (type == "3") {
      // The dictionary refused what the venue sent.
      std::lock_guard<std::mutex> lock(mutex_);
      ++refused_by_us;
      std::cerr << "refused: " << message.toString() << std::endl;
    } else if (type == "2") {
      std::lock_guard<std::mutex> lock(mutex_);
      ++resend_requests;
    }
  }
  void toApp(FIX::Message &message, const FIX::SessionID &) throw(FIX::DoNotSend) override {
    if (message.getHeader().getField(FIX::FIELD::MsgType) == "j") {
      std::lock_guard<std::mutex> lock(mutex_);
      ++refused_by_us;
      std::cerr << "refused: " << message.toString() << std::endl;
    }
    FIX::PossDupFlag again;
    if (message.getHeader().getFieldIfSet(again) && again.getValue()) {
      std::lock_guard<std::mutex> lock(mutex_);
      ++sent_again;
    }
  }
  void fromAdmin(const FIX::Message &message, const FIX::SessionID &)
      throw(FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue,
            FIX::RejectLogon) override {
    if (message.getHeader().getField(FIX::FIELD::MsgType) == "3") {
      std::lock_guard<std::mutex> lock(mutex_);
      ++refused_by_venue;
      std::cerr << "venue refused: " << message.toString() << std::endl;
    }
  }
  void fromApp(const FIX::Message &message, const FIX::SessionID &)
      throw(FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue,
            FIX::UnsupportedMessageType) override {
    std::lock_guard<std::mutex> lock(mutex_);
    const std::string type = message.getHeader().getField(FIX::FIELD::MsgType);
    if (type == "f" || type == "h") {
      // Of no symbol that there is, of the symbol or of the venue while it trades.
      const std::string status = message.getField(type == "f" ? 326 : 340);
      ++(status == (type == "f" ? "17" : "2") ? trading : not_trading);
      changed_.notify_all();
      return;
    }
    if (type != "8") {
      ++refused_by_venue;
      std::cerr << "venue refused: " << message.toString() << std::endl;
      return;
    }
    FIX::PossDupFlag again;
    if (message.getHeader().getFieldIfSet(again) && again.getValue()) ++received_again;
    if (!executions_.insert(message.getField(FIX::FIELD::ExecID)).second) ++doubled;
    const char kind = message.getField(FIX::FIELD::ExecType)[0];
    std::string name = message.getField(FIX::FIELD::ClOrdID);
    if ((kind == '5' || kind == '4') && message.isSetField(FIX::FIELD::OrigClOrdID)) {
      const std::string before = message.getField(FIX::FIELD::OrigClOrdID);
      orders[name] = orders[before];
      if (kind == '5') {
        orders.erase(before);
        ++replaced;
      }
    }
    Order &order = orders[name];
    order.leaves = number(message, FIX::FIELD::LeavesQty);
    switch (kind) {
    case '0':
      ++order.accepted;
      if (order.accepted > 1) ++doubled;
      break;
    case 'F': {
      const double lots = number(message, FIX::FIELD::LastQty);
      order.filled += lots;
      if (order.filled != number(message, FIX::FIELD::CumQty)) ++lost;
      (order.side == '1' ? bought : sold) += lots;
      if (message.getField(FIX::FIELD::OrdStatus) == "2") ++order.ended;
      break;
    }
    case '4':
      ++canceled;
      ++order.ended;
      break;
    case '8':
      ++refused_by_venue;
      std::cerr << "venue refused: " << message.toString() << std::endl;
      break;
    default:
      break;
    }
    if (order.ended > 1) ++doubled;
    changed_.notify_all();
  }

  void enter(const std::string &name, char side, int quantity, const std::string &symbol,
             const char *price) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      Order &order = orders[name];
      order.side = side;
      order.quantity = quantity;
    }
    FIX::Message message;
    message.getHeader().setField(FIX::MsgType("D"));
    message.setField(FIX::ClOrdID(name));
    terms(message, side, symbol);
    message.setField(FIX::OrderQty(quantity));
    message.setField(FIX::OrdType('2'));
    message.setField(FIX::FIELD::Price, price);
    message.setField(FIX::TimeInForce('0'));
    FIX::Session::sendToTarget(message, id_);
  }
  void replace(const std::string &name, const std::string &before, char side, int quantity,
               const std::string &symbol, const char *price) {
    FIX::Message message;
    message.getHeader().setField(FIX::MsgType("G"));
    message.setField(FIX::OrigClOrdID(before));
    message.setField(FIX::ClOrdID(name));
    terms(message, side, symbol);
    message.setField(FIX::OrderQty(quantity));
    message.setField(FIX::OrdType('2'));
    message.setField(FIX::FIELD::Price, price);
    FIX::Session::sendToTarget(message, id_);
  }
  void cancel(const std::string &name, const std::string &before, char side,
              const std::string &symbol) {
    FIX::Message message;
    message.getHeader().setField(FIX::MsgType("F"));
    message.setField(FIX::OrigClOrdID(before));
    message.setField(FIX::ClOrdID(name));
    terms(message, side, symbol);
    FIX::Session::sendToTarget(message, id_);
  }

  void ask_status(const char *id, const std::string &symbol, char subscription) {
    FIX::Message message;
    message.getHeader().setField(FIX::MsgType("e"));
    message.setField(324, id);
    message.setField(FIX::Symbol(symbol));
    message.setField(263, std::string(1, subscription));
    FIX::Session::sendToTarget(message, id_);
  }
  void ask_venue(const char *id) {
    FIX::Message message;
    message.getHeader().setField(FIX::MsgType("g"));
    message.setField(335, id);
    message.setField(263, "1");
    FIX::Session::sendToTarget(message, id_);
  }

  // Whether it came true in time; `condition` runs under the lock.
  template <typename Condition> bool wait(int seconds, Condition condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(seconds), condition);
  }
  bool all_accepted() const {
    for (const auto &entry : orders)
      if (entry.second.accepted != 1) return false;
    return true;
  }

  std::map<std::string, Order> orders;
  bool up = false;
  int logons = 0, resend_requests = 0, sent_again = 0, received_again = 0;
  int refused_by_us = 0, refused_by_venue = 0, doubled = 0, lost = 0, replaced = 0, canceled = 0;
  int trading = 0, not_trading = 0;
  double bought = 0, sold = 0;

private:
  static double number(const FIX::Message &message, int tag) {
    return std::atof(message.getField(tag).c_str());
  }
  static void terms(FIX::Message &message, char side, const std::string &symbol) {
    message.setField(FIX::Symbol(symbol));
    message.setField(FIX::Side(side));
    message.setField(FIX::TransactTime(FIX::UtcTimeStamp(), 3));
  }

  std::string user_, password_;
  FIX::SessionID id_;
  std::set<std::string> executions_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

} // namespace

int main(int count, char **arguments) {
  if (count != 6) {
    std::cerr << "usage: quickfix_initiator CONFIG USER PASSWORD SYMBOL ORDERS" << std::endl;
    return 64;
  }
  try {
    const std::string symbol = arguments[4];
    const int orders = std::atoi(arguments[5]);
    FIX::SessionSettings settings(arguments[1]);
    Firm firm(arguments[2], arguments[3]);
    FIX::FileStoreFactory store(settings);
    FIX::FileLogFactory log(settings);
    FIX::SocketInitiator initiator(firm, store, settings, log);
    initiator.start();
    bool well = firm.wait(20, [&] { return firm.up; });

    for (int n = 1; well && n <= orders; ++n)
      firm.enter("Q-" + std::to_string(n), n % 2 ? '1' : '2', 1 + n % 7, symbol, "100.00");
    well = well && firm.wait(60, [&] { return firm.all_accepted(); });
    const bool reconciled = well;

    // The session is as good as new: an order is entered, replaced and canceled.
    firm.enter("LAST-1", '1', 5, symbol, "90.00");
    well = well && firm.wait(20, [&] { return firm.orders["LAST-1"].accepted == 1; });
    firm.replace("LAST-2", "LAST-1", '1', 9, symbol, "90.01");
    well = well && firm.wait(20, [&] { return firm.replaced == 1; });
    firm.cancel("LAST-3", "LAST-2", '1', symbol);
    well = well && firm.wait(20, [&] { return firm.canceled == 1; });
    firm.ask_status("STATUS-1", symbol, '1');
    firm.ask_status("STATUS-2", "NOWHERE", '0');
    firm.ask_venue("STATUS-3");
    well = well && firm.wait(20, [&] { return firm.trading == 2 && firm.not_trading == 1; });
    initiator.stop();

    std::printf("{\"well\":%s,\"reconciled\":%s,\"logons\":%d,\"resend_requests\":%d,"
                "\"sent_again\":%d,\"received_again\":%d,\"refused_by_us\":%d,"
                "\"refused_by_venue\":%d,\"doubled\":%d,\"lost\":%d,\"bought\":%.0f,"
                "\"sold\":%.0f}\n",
                well ? "true" : "false", reconciled ? "true" : "false", firm.logons,
                firm.resend_requests, firm.sent_again, firm.received_again, firm.refused_by_us,
                firm.refused_by_venue, firm.doubled, firm.lost, firm.bought, firm.sold);
    return well ? 0 : 1;
  } catch (const std::exception &error) {
    std::cerr << error.what() << std::endl;
    return 70;
  }
}
