// TensorBoard's event files: TFRecords (length, masked CRC-32C, data, masked CRC-32C) of Event
// messages, in a new file per writer. After a resume the writer says from which step on the points
// of older files are void, so a chart never shows two histories.
//
// Failures are IoErrors; a caller may warn and go on. What was buffered is then lost, but the file
// stays readable and later points are written if the disk has room again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "csrc/formats/file.h"

namespace adatape::formats {

/// Wall times are seconds since 1970. One thread at a time.
class EventWriter {
 public:
  /// Creates `folder` if need be, and in it events.out.tfevents.<seconds>.<host>.<pid>, named so
  /// that it sorts after the event files already there, the order in which TensorBoard reads them.
  /// `purge_step`: TensorBoard drops earlier files' points of this step and of later ones.
  EventWriter(const std::string& folder, double wall_time,
              std::optional<int64_t> purge_step = std::nullopt);
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;
  /// Flushes; a failure is lost.
  ~EventWriter();

  const std::string& path() const { return file_.path(); }

  void scalar(std::string_view tag, int64_t step, double value, double wall_time);
  /// 30 buckets of equal width, as TensorBoard's own writer makes. Values that are not finite are
  /// left out; nothing is written where none remains.
  void histogram(std::string_view tag, int64_t step, std::span<const double> values,
                 double wall_time);
  /// Shown as Markdown.
  void text(std::string_view tag, int64_t step, std::string_view text, double wall_time);

  /// Hands what is buffered to the system. Done by itself every 64 KiB only.
  void flush();

 private:
  void append(std::string_view event);

  OutputFile file_;
  std::string buffer_;
};

}  // namespace adatape::formats
