// SPDX-License-Identifier: GPL-2.0
/*
 * The life of an IOMMU domain that the DMA API uses.
 *
 *   iommu_get_dma_cookie()   the domain is created; it has no addresses yet
 *   iommu_setup_dma_ops()    for each device, when its domain is set
 *   iommu_dma_init_domain()  the first device sets up the addresses, and each
 *                            one reserves its regions
 *   iommu_dma_init_fq()      at any time later: from strict to deferred mode
 *   iommu_put_dma_cookie()   no device is left, and the domain is freed
 */

#define pr_fmt(fmt) "iommu: " fmt

#include <kunit/visibility.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "../dma-iommu.h"
#include "../iommu-pages.h"
#include "bounce.h"
#include "domain.h"
#include "msi.h"
#include "resv.h"

/* More guard granules would only use up addresses. */
#define IOMMU_DMA_GUARD_MAX	64U

/* More milliseconds would only keep memory of the space. */
#define IOMMU_DMA_QUARANTINE_MAX	10000U

bool iommu_dma_forcedac __read_mostly;

static int __init iommu_dma_forcedac_setup(char *str)
{
	int ret = kstrtobool(str, &iommu_dma_forcedac);

	if (!ret && iommu_dma_forcedac)
		pr_info("Forcing DAC for PCI devices\n");
	return ret;
}
early_param("iommu.forcedac", iommu_dma_forcedac_setup);

/* Set what is a number on the kernel's command line; if it is none, @value stays. */
static int __init set_number(const char *name, const char *str,
			     unsigned int most, unsigned int *value)
{
	unsigned int number;
	int ret = kstrtouint(str, 0, &number);

	if (ret || number > most) {
		pr_err("%s=%s: not a number from 0 to %u, ignored\n", name, str,
		       most);
		return ret ?: -ERANGE;
	}
	*value = number;
	return 0;
}

/* Granules left unmapped behind every mapping */
static unsigned int iommu_dma_guard __read_mostly;

static int __init iommu_dma_guard_setup(char *str)
{
	return set_number("dma_guard", str, IOMMU_DMA_GUARD_MAX,
			  &iommu_dma_guard);
}
early_param("iommu.dma_guard", iommu_dma_guard_setup);

/* Milliseconds for which strict domains do not reuse addresses; 0: they do */
unsigned int iommu_dma_quarantine __read_mostly;
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_quarantine);

static int __init iommu_dma_quarantine_setup(char *str)
{
	return set_number("dma_quarantine", str, IOMMU_DMA_QUARANTINE_MAX,
			  &iommu_dma_quarantine);
}
early_param("iommu.dma_quarantine", iommu_dma_quarantine_setup);

static int cookie_create(struct iommu_domain *domain,
			 enum iommu_dma_cookie_type type, dma_addr_t msi_base)
{
	struct iommu_dma_cookie *cookie;

	if (domain->iova_cookie)
		return -EEXIST;
	cookie = kzalloc(sizeof(*cookie), GFP_KERNEL);
	if (!cookie)
		return -ENOMEM;
	cookie->domain = domain;
	cookie->type = type;
	cookie->msi_next = msi_base;
	INIT_LIST_HEAD(&cookie->msi_pages);
	mutex_init(&cookie->lock);
	domain->iova_cookie = cookie;
	return 0;
}

/**
 * iommu_get_dma_cookie - prepare a domain for the DMA API
 * @domain: domain that is going to be a default domain
 *
 * Context: Process; may sleep.
 * Return: 0; -EEXIST if the domain has been prepared before; -ENOMEM.
 */
int iommu_get_dma_cookie(struct iommu_domain *domain)
{
	return cookie_create(domain, IOMMU_DMA_COOKIE_IOVA, 0);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_get_dma_cookie);

/**
 * iommu_get_msi_cookie - prepare a domain for mapping doorbells only
 * @domain: domain whose addresses the caller manages
 * @base: where the window for doorbells begins
 *
 * For VFIO and iommufd. The caller keeps a page free, from @base on, for each
 * doorbell that the devices of the domain may use.
 *
 * Context: Process; may sleep.
 * Return: 0; -EINVAL if the DMA API manages the addresses; -EEXIST if the
 * domain has been prepared before; -ENOMEM.
 */
int iommu_get_msi_cookie(struct iommu_domain *domain, dma_addr_t base)
{
	if (domain->type != IOMMU_DOMAIN_UNMANAGED)
		return -EINVAL;
	return cookie_create(domain, IOMMU_DMA_COOKIE_MSI, base);
}
EXPORT_SYMBOL(iommu_get_msi_cookie);

/**
 * iommu_put_dma_cookie - undo iommu_get_dma_cookie() or iommu_get_msi_cookie()
 * @domain: domain that is about to be freed; no device is attached to it
 *
 * Context: Process; may sleep.
 */
void iommu_put_dma_cookie(struct iommu_domain *domain)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;
	LIST_HEAD(pages);

	if (!cookie)
		return;
	iommu_dma_msi_destroy(cookie);
	if (cookie->granule_shift) {
		iommu_dma_flush_destroy(&cookie->flush);
		/* Bounces of mappings that drivers have never unmapped */
		iommu_dma_bounce_drop(cookie, 0, cookie->last, &pages);
		iommu_put_pages_list(&pages);
		iova_space_destroy(&cookie->space);
		xa_destroy(&cookie->bounces);
	}
	mutex_destroy(&cookie->lock);
	kfree(cookie);
	domain->iova_cookie = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(iommu_put_dma_cookie);

/**
 * iommu_dma_init_fq - switch a domain to deferred invalidation
 * @domain: default domain, in use or not
 *
 * Context: Process; serialised by the mutex of the group.
 * Return: 0; -ENODEV if no device has been set up; -EINVAL if the IOMMU cannot
 * defer invalidation.
 */
int iommu_dma_init_fq(struct iommu_domain *domain)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;

	if (!cookie || cookie->type != IOMMU_DMA_COOKIE_IOVA ||
	    !cookie->granule_shift)
		return -ENODEV;
	if (!cookie->deferrable)
		return -EINVAL;
	iommu_dma_flush_enable(&cookie->flush, domain);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_init_fq);

static int space_init(struct device *dev, struct iommu_dma_cookie *cookie)
{
	const struct iommu_domain_geometry *geometry = &cookie->domain->geometry;
	unsigned int shift = __ffs(cookie->domain->pgsize_bitmap);
	unsigned long larger = cookie->domain->pgsize_bitmap & ~BIT(shift);
	/*
	 * Leave out the top granule, so that the end of any range is an
	 * address.
	 */
	u64 end = (u64)(dma_addr_t)U64_MAX >> shift, first, last;
	int ret;

	/* Use only whole granules of the aperture. */
	if (geometry->force_aperture)
		end = min(end, ((u64)geometry->aperture_end >> shift) +
			       IS_ALIGNED((u64)geometry->aperture_end + 1,
					  BIT(shift)));
	last = max(end, 1) - 1;
	first = max(DIV_ROUND_UP_ULL(geometry->aperture_start, BIT(shift)), 1);
	ret = iova_space_init(&cookie->space, first,
			      min_t(u64, last, ULONG_MAX - 1), shift);
	if (ret)
		return ret;

	xa_init_flags(&cookie->bounces, XA_FLAGS_LOCK_IRQ);
	iommu_dma_flush_init(&cookie->flush, &cookie->space,
			     dev->iommu->shadow_on_flush);
	cookie->larger_page = larger ? BIT(__ffs(larger)) : SIZE_MAX;
	cookie->guard = iommu_dma_guard;
	cookie->low_refused = ULONG_MAX;
	cookie->last = ((last + 1) << shift) - 1;
	cookie->granule_shift = shift;
	cookie->deferrable = device_iommu_capable(dev, IOMMU_CAP_DEFERRED_FLUSH);

	if (cookie->domain->type == IOMMU_DOMAIN_DMA_FQ &&
	    iommu_dma_init_fq(cookie->domain)) {
		dev_notice(dev, "IOMMU does not support deferred flush, using strict mode\n");
		cookie->domain->type = IOMMU_DOMAIN_DMA;
	}
	if (!iommu_dma_quarantine || cookie->domain->type != IOMMU_DOMAIN_DMA)
		return 0;
	if (cookie->deferrable)
		iommu_dma_flush_quarantine(&cookie->flush, cookie->domain,
					   ms_to_ktime(iommu_dma_quarantine));
	else
		dev_notice(dev, "IOMMU does not support deferred flush, so addresses are reused at once\n");
	return 0;
}

/**
 * iommu_dma_init_domain - let a device use a domain for the DMA API
 * @dev: device
 * @domain: its default domain
 *
 * Called for each device of the domain, and again when anything about the
 * device may have changed.
 *
 * Context: Process; may sleep. One device of the domain at a time.
 * Return: 0; -EINVAL if the domain is not one of the DMA API; -EFAULT if device
 * and IOMMU have no addresses in common, or the domain uses another page size;
 * -ENOMEM.
 */
int iommu_dma_init_domain(struct device *dev, struct iommu_domain *domain)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;
	const struct bus_dma_region *map = dev->dma_range_map;
	int ret = 0;

	if (!cookie || cookie->type != IOMMU_DMA_COOKIE_IOVA)
		return -EINVAL;
	if (map && (dma_range_map_min(map) > domain->geometry.aperture_end ||
		    dma_range_map_max(map) < domain->geometry.aperture_start)) {
		dev_err(dev, "dma-ranges [%#llx, %#llx] outside IOMMU aperture [%#llx, %#llx]\n",
			(u64)dma_range_map_min(map), (u64)dma_range_map_max(map),
			(u64)domain->geometry.aperture_start,
			(u64)domain->geometry.aperture_end);
		return -EFAULT;
	}

	mutex_lock(&cookie->lock);
	if (!cookie->granule_shift) {
		ret = space_init(dev, cookie);
	} else if (cookie->granule_shift != __ffs(domain->pgsize_bitmap)) {
		dev_err(dev, "IOMMU page size changed from %zu to %lu bytes while in use\n",
			cookie_granule(cookie),
			BIT(__ffs(domain->pgsize_bitmap)));
		ret = -EFAULT;
	}
	mutex_unlock(&cookie->lock);
	return ret ?: iommu_dma_reserve_regions(dev, cookie);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_init_domain);

/**
 * iommu_setup_dma_ops - make a device use this layer if its domain needs it
 * @dev: device whose default domain has been set or changed
 *
 * Context: Process; may sleep. The mutex of the device's group is held.
 */
void iommu_setup_dma_ops(struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	if (dev_is_pci(dev))
		dev->iommu->pci_32bit_workaround = !iommu_dma_forcedac;

	dev->dma_iommu = iommu_is_dma_domain(domain);
	if (!dev->dma_iommu || !iommu_dma_init_domain(dev, domain))
		return;
	dev->dma_iommu = false;
	dev_warn(dev, "failed to set up IOMMU DMA; DMA may fail\n");
}
EXPORT_SYMBOL_IF_KUNIT(iommu_setup_dma_ops);
