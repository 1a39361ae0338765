/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The iommufd suites of some 6.12.y name things that its kernel does not have.
 * With these they can be built: what they then ask for is refused by the kernel,
 * in tests that suites.sh knows.
 */
#ifndef IOMMUFD_NEWER_H
#define IOMMUFD_NEWER_H

#define IOMMU_HW_INFO_TYPE_DEFAULT	0
#define IOMMU_HW_INFO_FLAG_INPUT_TYPE	1
#define in_data_type			out_data_type
#define MOCK_FLAGS_DEVICE_PASID		0
#define MOCK_PASID_WIDTH		20

#endif /* IOMMUFD_NEWER_H */
