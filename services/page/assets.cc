// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/page/assets.h"

namespace hatchery {
namespace {

constexpr std::string_view kIndex =
#include "index.html.inc"
    ;
constexpr std::string_view kIcon =
#include "icon.svg.inc"
    ;
constexpr std::string_view kStyle =
#include "page.css.inc"
    ;
constexpr std::string_view kScript =
#include "page.js.inc"
    ;
constexpr std::string_view kFeed =
#include "feed.js.inc"
    ;

constexpr PageAsset kAssets[] = {
    {"/", "text/html; charset=utf-8", kIndex},
    {"/icon.svg", "image/svg+xml", kIcon},
    {"/page.css", "text/css; charset=utf-8", kStyle},
    {"/page.js", "text/javascript; charset=utf-8", kScript},
    {"/feed.js", "text/javascript; charset=utf-8", kFeed},
};

}  // namespace

std::span<const PageAsset> PageAssets() { return kAssets; }

}  // namespace hatchery
