// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/image.h"

#include <librsvg/rsvg.h>

#include <memory>

namespace hatchery::report {
namespace {

constexpr double kPixelsPerUnit = 2;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* resource) const {
    kFree(resource);
  }
};
using Handle = std::unique_ptr<RsvgHandle, Free<g_object_unref>>;
using Surface = std::unique_ptr<cairo_surface_t, Free<cairo_surface_destroy>>;
using Context = std::unique_ptr<cairo_t, Free<cairo_destroy>>;
using Error = std::unique_ptr<GError, Free<g_error_free>>;

Status Failed(const std::string& what, const GError* error) {
  return InternalError("cannot " + what + ": " + (error ? error->message : "unknown error"));
}

cairo_status_t AppendTo(void* out, const unsigned char* bytes, unsigned int size) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

StatusOr<std::string> SvgToPng(const std::string& svg) {
  GError* error = nullptr;
  const Handle handle(
      rsvg_handle_new_from_data(reinterpret_cast<const guint8*>(svg.data()), svg.size(), &error));
  Error owned(error);
  if (handle == nullptr) return Failed("read the figure as SVG", owned.get());
  double width = 0, height = 0;
  rsvg_handle_get_intrinsic_size_in_pixels(handle.get(), &width, &height);
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24,
                                                   static_cast<int>(width * kPixelsPerUnit),
                                                   static_cast<int>(height * kPixelsPerUnit)));
  const Context context(cairo_create(surface.get()));
  const RsvgRectangle whole = {0, 0, width * kPixelsPerUnit, height * kPixelsPerUnit};
  const bool drawn = rsvg_handle_render_document(handle.get(), context.get(), &whole, &error);
  owned.reset(error);
  if (!drawn) return Failed("draw the figure", owned.get());
  std::string png;
  if (cairo_surface_write_to_png_stream(surface.get(), AppendTo, &png) != CAIRO_STATUS_SUCCESS)
    return Failed("write the figure as PNG", nullptr);
  return png;
}

}  // namespace hatchery::report
