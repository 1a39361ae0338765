/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ranges of more than one extent. See iova-spanning.c.
 */
#ifndef _IOVA_SPANNING_H
#define _IOVA_SPANNING_H

#include <linux/types.h>

#include "iova-pool.h"

bool iova_spanning_alloc(struct iova_pool *pool,
			 const struct iova_request *req,
			 struct iova_range *range);
void iova_spanning_trim(struct iova_pool *pool, unsigned long limit);
bool iova_spanning_free(struct iova_pool *pool, struct iova_extent *x,
			unsigned long most);

#endif /* _IOVA_SPANNING_H */
