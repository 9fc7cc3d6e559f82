// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What metal_device.mm uses of Apple's Foundation, declared only: enough to check its types where
// there is no Apple SDK. After Apple's public documentation.
#pragma once

typedef signed char BOOL;
typedef unsigned long NSUInteger;
typedef long NSInteger;
#define nil nullptr
#define NS_ENUM_OF(type, name) enum name : type

@class NSString;

__attribute__((objc_root_class))
@interface NSObject
+ (instancetype)alloc;
- (instancetype)init;
@end

@protocol NSObject
@end

@interface NSString : NSObject
+ (instancetype)stringWithUTF8String:(const char*)text;
@property(readonly) const char* UTF8String;
@end

@interface NSError : NSObject
@property(readonly, copy) NSString* localizedDescription;
@end

typedef struct {
  unsigned long state;
  id __unsafe_unretained* itemsPtr;
  unsigned long* mutationsPtr;
  unsigned long extra[5];
} NSFastEnumerationState;

@protocol NSFastEnumeration
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState*)state
                                  objects:(id __unsafe_unretained[])buffer
                                    count:(NSUInteger)length;
@end

@interface NSMutableArray<ObjectType> : NSObject <NSFastEnumeration>
+ (instancetype)array;
- (void)addObject:(ObjectType)object;
@property(readonly) NSUInteger count;
@property(readonly) ObjectType lastObject;
@end
