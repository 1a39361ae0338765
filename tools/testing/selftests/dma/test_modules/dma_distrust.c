// SPDX-License-Identifier: GPL-2.0
/*
 * While this is loaded, a PCI device is not trusted, as one behind an external port. What
 * decides that is asked when a driver maps memory, so it has to be without a driver when
 * this comes and goes.
 */
#include <linux/module.h>
#include <linux/pci.h>

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "the PCI device, as 0000:00:05.0");

static struct pci_dev *pdev;

static int __init distrust_init(void)
{
	struct device *dev;

	dev = device ? bus_find_device_by_name(&pci_bus_type, NULL, device) : NULL;
	if (!dev)
		return -ENODEV;
	pdev = to_pci_dev(dev);
	if (dev->driver || pdev->untrusted) {
		pci_err(pdev, "it has a driver, or is not trusted anyway\n");
		pci_dev_put(pdev);
		return -EBUSY;
	}
	pdev->untrusted = true;
	return 0;
}
module_init(distrust_init);

static void __exit distrust_exit(void)
{
	pdev->untrusted = false;
	pci_dev_put(pdev);
}
module_exit(distrust_exit);

MODULE_DESCRIPTION("A PCI device that is not trusted");
MODULE_LICENSE("GPL");
