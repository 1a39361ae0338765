// SPDX-License-Identifier: GPL-2.0
/*
 * Video capture from QEMU's "edu" (1234:11e8), a device whose DMA is commanded.
 *
 * The device has a buffer of 4 KiB and moves bytes between it and memory, one
 * transfer at a time; each is done 100 ms after its start, and then there is an
 * interrupt. That makes a camera of a few pages and a few frames a second whose
 * frames the CPU has never seen: streaming begins with one transfer of a pattern
 * to the device, and a frame is transfers of parts of it to the buffer.
 *
 * A program can tell what is in a frame, byte by byte. With @seed the value of
 * the control EDU_CID_SEED when streaming began, the pattern is
 *
 *	state = seed;
 *	for (i = 0; i < 4095; i++) {
 *		state = state * 1664525 + 1013904223;	(modulo 2^32)
 *		pattern[i] = state >> 24;
 *	}
 *
 * and byte @at of the frame with the sequence number @frame is
 *
 *	pattern[(frame * 97 + at / 3072 * 389) % 1024 + at % 3072]
 *
 * so no two of 1024 frames, and no two transfers of a frame, are the same; and
 * transfers straddle pages, because 3072 does not divide a page.
 *
 * The device takes one address for a buffer, so each scatterlist has to become
 * one segment. The driver says that once, to the DMA API: dma_set_contiguous().
 * With contiguous=0 it does not, and videobuf2 finds out what the list became.
 *
 * Life of a transfer: edu_go() starts it and sets @busy; its interrupt, or giving
 * up on it, ends it. While @busy the device may write to memory, so nothing that
 * it was told goes away: stop_streaming waits. Outside of streaming the device
 * is no bus master.
 *
 * Locking: @lock serializes the ioctls, and with them the start and the end of
 * streaming; it protects @pix. @slock protects what the interrupt changes, from
 * @todo to @sequence. @lock is taken before @slock.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <media/v4l2-common.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-v4l2.h>

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8

#define EDU_REG_ID	0x00
#define EDU_ID_MASK	0xffff
#define EDU_ID		0x00ed
#define EDU_REG_IRQ	0x24
#define EDU_REG_ACK	0x64
#define EDU_REG_SRC	0x80
#define EDU_REG_DST	0x88
#define EDU_REG_COUNT	0x90
#define EDU_REG_CMD	0x98
#define EDU_CMD_RUN	BIT(0)
#define EDU_CMD_TO_MEM	BIT(1)
#define EDU_CMD_IRQ	BIT(2)

/* The device's buffer, in its own address space. */
#define EDU_BUF_ADDR	0x40000

/*
 * The pattern leaves one byte of the 4096 out: some versions of the device take
 * a transfer that ends exactly at the buffer's end for an overrun.
 */
#define EDU_PATTERN	4095
#define EDU_CHUNK	3072
#define EDU_OFFSETS	(EDU_PATTERN - EDU_CHUNK + 1)

/* A transfer takes 100 ms; a loaded host may be late. */
#define EDU_TIMEOUT	(10 * HZ)
#define EDU_PER_SECOND	10

#define EDU_CID_SEED	(V4L2_CID_USER_BASE | 0xf000)

static unsigned int mask_bits = 28;
module_param(mask_bits, uint, 0444);
MODULE_PARM_DESC(mask_bits, "width of the device's addresses (its dma_mask property)");

static bool contiguous = true;
module_param(contiguous, bool, 0444);
MODULE_PARM_DESC(contiguous, "tell the DMA API that a buffer has to be one segment");

static bool userptr = true;
module_param(userptr, bool, 0444);
MODULE_PARM_DESC(userptr, "take buffers that are memory of programs");

/* A transfer; some pages; some and a part of one; more than 64 KiB */
static const struct v4l2_frmsize_discrete edu_sizes[] = {
	{ 64, 48 }, { 128, 96 }, { 160, 120 }, { 320, 240 },
};

#define EDU_DEFAULT_SIZE	1

/**
 * struct edu_buffer - a buffer of the queue
 * @vb: what videobuf2 knows of it
 * @list: in edu->todo
 */
struct edu_buffer {
	struct vb2_v4l2_buffer vb;
	struct list_head list;
};

/**
 * struct edu - one device
 * @pdev: the PCI device
 * @regs: BAR 0
 * @v4l2: what keeps this structure until the last file is closed
 * @vdev: the video device
 * @ctrls: its controls
 * @seed: the one there is, EDU_CID_SEED
 * @queue: its buffers
 * @pattern: what is loaded into the device
 * @pattern_dma: its address for the device
 * @idle: woken at the end of a transfer
 * @lock: one ioctl at a time; protects @pix
 * @pix: format
 * @slock: protects what follows
 * @todo: buffers to fill
 * @filling: the one that is being filled, or NULL
 * @chunk: transfers of it that are done
 * @streaming: whether to go on with the next transfer
 * @busy: a transfer is under way
 * @sequence: number of the next frame
 */
struct edu {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct v4l2_device v4l2;
	struct video_device vdev;
	struct v4l2_ctrl_handler ctrls;
	struct v4l2_ctrl *seed;
	struct vb2_queue queue;
	u8 *pattern;
	dma_addr_t pattern_dma;
	wait_queue_head_t idle;

	struct mutex lock;	/* one ioctl at a time; protects pix */
	struct v4l2_pix_format pix;

	spinlock_t slock;	/* protects what follows */
	struct list_head todo;
	struct edu_buffer *filling;
	unsigned int chunk;
	bool streaming;
	bool busy;
	u32 sequence;
};

/* ---- transfers ----------------------------------------------------------- */

static void edu_go(struct edu *edu, dma_addr_t addr, unsigned int offset,
		   unsigned int len, bool to_memory)
{
	u64 buf = EDU_BUF_ADDR + offset;

	lockdep_assert_held(&edu->slock);
	edu->busy = true;
	writeq(to_memory ? buf : addr, edu->regs + EDU_REG_SRC);
	writeq(to_memory ? addr : buf, edu->regs + EDU_REG_DST);
	writeq(len, edu->regs + EDU_REG_COUNT);
	writeq(EDU_CMD_RUN | EDU_CMD_IRQ | (to_memory ? EDU_CMD_TO_MEM : 0),
	       edu->regs + EDU_REG_CMD);
}

/* The next part of a frame, if there is a buffer for it */
static void edu_next(struct edu *edu)
{
	struct vb2_buffer *vb;
	unsigned int at, offset;

	lockdep_assert_held(&edu->slock);
	if (!edu->filling) {
		edu->filling = list_first_entry_or_null(&edu->todo,
							struct edu_buffer, list);
		if (!edu->filling)
			return;
		list_del(&edu->filling->list);
		edu->filling->vb.sequence = edu->sequence++;
		edu->chunk = 0;
	}
	vb = &edu->filling->vb.vb2_buf;
	at = edu->chunk * EDU_CHUNK;
	offset = (edu->filling->vb.sequence * 97 + edu->chunk * 389) %
		 EDU_OFFSETS;
	edu_go(edu, vb2_dma_contig_plane_dma_addr(vb, 0) + at, offset,
	       min(vb2_get_plane_payload(vb, 0) - at, EDU_CHUNK), true);
}

/* A part of a frame is there: is it the last one? */
static void edu_chunk_done(struct edu *edu)
{
	struct vb2_v4l2_buffer *vbuf = &edu->filling->vb;

	lockdep_assert_held(&edu->slock);
	edu->chunk++;
	if (edu->chunk * EDU_CHUNK < vb2_get_plane_payload(&vbuf->vb2_buf, 0))
		return;
	edu->filling = NULL;
	vbuf->field = V4L2_FIELD_NONE;
	vbuf->vb2_buf.timestamp = ktime_get_ns();
	vb2_buffer_done(&vbuf->vb2_buf, VB2_BUF_STATE_DONE);
}

static irqreturn_t edu_irq(int irq, void *data)
{
	struct edu *edu = data;
	u32 status = readl(edu->regs + EDU_REG_IRQ);

	if (!status)
		return IRQ_NONE;
	writel(status, edu->regs + EDU_REG_ACK);
	return IRQ_WAKE_THREAD;
}

static irqreturn_t edu_irq_thread(int irq, void *data)
{
	struct edu *edu = data;

	spin_lock_irq(&edu->slock);
	if (edu->busy) {
		edu->busy = false;
		if (edu->filling)
			edu_chunk_done(edu);
		if (edu->streaming)
			edu_next(edu);
	}
	spin_unlock_irq(&edu->slock);
	wake_up(&edu->idle);
	return IRQ_HANDLED;
}

static bool edu_is_idle(struct edu *edu)
{
	bool idle;

	spin_lock_irq(&edu->slock);
	idle = !edu->busy;
	spin_unlock_irq(&edu->slock);
	return idle;
}

/* After this the device does nothing to memory, whatever it was about to do. */
static int edu_quiesce(struct edu *edu)
{
	long left = wait_event_timeout(edu->idle, edu_is_idle(edu), EDU_TIMEOUT);

	if (!left)
		dev_err(&edu->pdev->dev, "a transfer does not end\n");
	pci_clear_master(edu->pdev);
	spin_lock_irq(&edu->slock);
	edu->busy = false;
	spin_unlock_irq(&edu->slock);
	return left ? 0 : -EIO;
}

/* The pattern goes into the device. */
static int edu_load(struct edu *edu)
{
	u32 state = v4l2_ctrl_g_ctrl(edu->seed);
	unsigned int i;

	if (readl(edu->regs + EDU_REG_CMD) & EDU_CMD_RUN)
		return -EBUSY;
	for (i = 0; i < EDU_PATTERN; i++) {
		state = state * 1664525 + 1013904223;
		edu->pattern[i] = state >> 24;
	}
	pci_set_master(edu->pdev);
	spin_lock_irq(&edu->slock);
	edu_go(edu, edu->pattern_dma, 0, EDU_PATTERN, false);
	spin_unlock_irq(&edu->slock);
	if (wait_event_timeout(edu->idle, edu_is_idle(edu), EDU_TIMEOUT))
		return 0;
	return edu_quiesce(edu) ?: -EIO;
}

/* ---- buffers ------------------------------------------------------------- */

static struct edu_buffer *to_edu_buffer(struct vb2_buffer *vb)
{
	return container_of(to_vb2_v4l2_buffer(vb), struct edu_buffer, vb);
}

static int edu_queue_setup(struct vb2_queue *q, unsigned int *nbuffers,
			   unsigned int *nplanes, unsigned int sizes[],
			   struct device *alloc_devs[])
{
	struct edu *edu = vb2_get_drv_priv(q);

	if (*nplanes)
		return sizes[0] < edu->pix.sizeimage ? -EINVAL : 0;
	*nplanes = 1;
	sizes[0] = edu->pix.sizeimage;
	return 0;
}

static int edu_buf_prepare(struct vb2_buffer *vb)
{
	struct edu *edu = vb2_get_drv_priv(vb->vb2_queue);

	if (vb2_plane_size(vb, 0) < edu->pix.sizeimage)
		return -EINVAL;
	vb2_set_plane_payload(vb, 0, edu->pix.sizeimage);
	return 0;
}

static void edu_buf_queue(struct vb2_buffer *vb)
{
	struct edu *edu = vb2_get_drv_priv(vb->vb2_queue);

	spin_lock_irq(&edu->slock);
	list_add_tail(&to_edu_buffer(vb)->list, &edu->todo);
	if (edu->streaming && !edu->busy)
		edu_next(edu);
	spin_unlock_irq(&edu->slock);
}

static void edu_return_buffers(struct edu *edu, enum vb2_buffer_state state)
{
	struct edu_buffer *buf, *next;

	spin_lock_irq(&edu->slock);
	if (edu->filling)
		list_add(&edu->filling->list, &edu->todo);
	edu->filling = NULL;
	list_for_each_entry_safe(buf, next, &edu->todo, list) {
		list_del(&buf->list);
		vb2_buffer_done(&buf->vb.vb2_buf, state);
	}
	spin_unlock_irq(&edu->slock);
}

static int edu_start_streaming(struct vb2_queue *q, unsigned int count)
{
	struct edu *edu = vb2_get_drv_priv(q);
	int ret;

	ret = edu_load(edu);
	if (ret) {
		edu_return_buffers(edu, VB2_BUF_STATE_QUEUED);
		return ret;
	}
	spin_lock_irq(&edu->slock);
	edu->sequence = 0;
	edu->streaming = true;
	edu_next(edu);
	spin_unlock_irq(&edu->slock);
	return 0;
}

static void edu_stop_streaming(struct vb2_queue *q)
{
	struct edu *edu = vb2_get_drv_priv(q);

	spin_lock_irq(&edu->slock);
	edu->streaming = false;
	spin_unlock_irq(&edu->slock);
	edu_quiesce(edu);
	edu_return_buffers(edu, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops edu_vb2_ops = {
	.queue_setup		= edu_queue_setup,
	.buf_prepare		= edu_buf_prepare,
	.buf_queue		= edu_buf_queue,
	.start_streaming	= edu_start_streaming,
	.stop_streaming		= edu_stop_streaming,
	.wait_prepare		= vb2_ops_wait_prepare,
	.wait_finish		= vb2_ops_wait_finish,
};

/* ---- what programs ask ----------------------------------------------------- */

static void edu_fill_format(struct v4l2_pix_format *pix)
{
	const struct v4l2_frmsize_discrete *size;

	size = v4l2_find_nearest_size(edu_sizes, ARRAY_SIZE(edu_sizes), width,
				      height, pix->width, pix->height);
	pix->width = size->width;
	pix->height = size->height;
	pix->pixelformat = V4L2_PIX_FMT_GREY;
	pix->field = V4L2_FIELD_NONE;
	pix->bytesperline = pix->width;
	pix->sizeimage = pix->width * pix->height;
	pix->colorspace = V4L2_COLORSPACE_SRGB;
	pix->ycbcr_enc = V4L2_YCBCR_ENC_DEFAULT;
	pix->quantization = V4L2_QUANTIZATION_DEFAULT;
	pix->xfer_func = V4L2_XFER_FUNC_DEFAULT;
}

/* A frame takes as long as its transfers. */
static struct v4l2_fract edu_interval(unsigned int width, unsigned int height)
{
	return (struct v4l2_fract) {
		.numerator = DIV_ROUND_UP(width * height, EDU_CHUNK),
		.denominator = EDU_PER_SECOND,
	};
}

static int edu_querycap(struct file *file, void *fh, struct v4l2_capability *cap)
{
	strscpy(cap->driver, "video-edu", sizeof(cap->driver));
	strscpy(cap->card, "QEMU edu", sizeof(cap->card));
	return 0;
}

static int edu_enum_fmt(struct file *file, void *fh, struct v4l2_fmtdesc *f)
{
	if (f->index)
		return -EINVAL;
	f->pixelformat = V4L2_PIX_FMT_GREY;
	return 0;
}

static int edu_g_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	struct edu *edu = video_drvdata(file);

	f->fmt.pix = edu->pix;
	return 0;
}

static int edu_try_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	edu_fill_format(&f->fmt.pix);
	return 0;
}

static int edu_s_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	struct edu *edu = video_drvdata(file);

	if (vb2_is_busy(&edu->queue))
		return -EBUSY;
	edu_fill_format(&f->fmt.pix);
	edu->pix = f->fmt.pix;
	return 0;
}

static int edu_enum_framesizes(struct file *file, void *fh,
			       struct v4l2_frmsizeenum *f)
{
	if (f->pixel_format != V4L2_PIX_FMT_GREY ||
	    f->index >= ARRAY_SIZE(edu_sizes))
		return -EINVAL;
	f->type = V4L2_FRMSIZE_TYPE_DISCRETE;
	f->discrete = edu_sizes[f->index];
	return 0;
}

static int edu_enum_frameintervals(struct file *file, void *fh,
				   struct v4l2_frmivalenum *f)
{
	unsigned int i;

	if (f->index || f->pixel_format != V4L2_PIX_FMT_GREY)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(edu_sizes); i++) {
		if (f->width != edu_sizes[i].width ||
		    f->height != edu_sizes[i].height)
			continue;
		f->type = V4L2_FRMIVAL_TYPE_DISCRETE;
		f->discrete = edu_interval(f->width, f->height);
		return 0;
	}
	return -EINVAL;
}

/* There is one interval for each size: setting it is as good as reading it. */
static int edu_parm(struct file *file, void *fh, struct v4l2_streamparm *parm)
{
	struct edu *edu = video_drvdata(file);

	if (parm->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
		return -EINVAL;
	memset(&parm->parm, 0, sizeof(parm->parm));
	parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
	parm->parm.capture.timeperframe = edu_interval(edu->pix.width,
						       edu->pix.height);
	parm->parm.capture.readbuffers = 2;
	return 0;
}

static int edu_enum_input(struct file *file, void *fh, struct v4l2_input *input)
{
	if (input->index)
		return -EINVAL;
	input->type = V4L2_INPUT_TYPE_CAMERA;
	strscpy(input->name, "Pattern", sizeof(input->name));
	return 0;
}

static int edu_g_input(struct file *file, void *fh, unsigned int *index)
{
	*index = 0;
	return 0;
}

static int edu_s_input(struct file *file, void *fh, unsigned int index)
{
	return index ? -EINVAL : 0;
}

static int edu_log_status(struct file *file, void *fh)
{
	struct edu *edu = video_drvdata(file);

	spin_lock_irq(&edu->slock);
	v4l2_info(&edu->v4l2, "streaming %d busy %d next frame %u transfers of this %u\n",
		  edu->streaming, edu->busy, edu->sequence, edu->chunk);
	spin_unlock_irq(&edu->slock);
	v4l2_info(&edu->v4l2, "addresses of %u bits, one segment %d\n",
		  mask_bits, dma_get_contiguous(&edu->pdev->dev));
	return v4l2_ctrl_log_status(file, fh);
}

static const struct v4l2_ioctl_ops edu_ioctl_ops = {
	.vidioc_querycap		= edu_querycap,
	.vidioc_enum_fmt_vid_cap	= edu_enum_fmt,
	.vidioc_g_fmt_vid_cap		= edu_g_fmt,
	.vidioc_try_fmt_vid_cap		= edu_try_fmt,
	.vidioc_s_fmt_vid_cap		= edu_s_fmt,
	.vidioc_enum_framesizes		= edu_enum_framesizes,
	.vidioc_enum_frameintervals	= edu_enum_frameintervals,
	.vidioc_g_parm			= edu_parm,
	.vidioc_s_parm			= edu_parm,
	.vidioc_enum_input		= edu_enum_input,
	.vidioc_g_input			= edu_g_input,
	.vidioc_s_input			= edu_s_input,
	.vidioc_reqbufs			= vb2_ioctl_reqbufs,
	.vidioc_create_bufs		= vb2_ioctl_create_bufs,
	.vidioc_prepare_buf		= vb2_ioctl_prepare_buf,
	.vidioc_querybuf		= vb2_ioctl_querybuf,
	.vidioc_qbuf			= vb2_ioctl_qbuf,
	.vidioc_dqbuf			= vb2_ioctl_dqbuf,
	.vidioc_expbuf			= vb2_ioctl_expbuf,
	.vidioc_streamon		= vb2_ioctl_streamon,
	.vidioc_streamoff		= vb2_ioctl_streamoff,
	.vidioc_log_status		= edu_log_status,
	.vidioc_subscribe_event		= v4l2_ctrl_subscribe_event,
	.vidioc_unsubscribe_event	= v4l2_event_unsubscribe,
};

static const struct v4l2_file_operations edu_fops = {
	.owner		= THIS_MODULE,
	.open		= v4l2_fh_open,
	.release	= vb2_fop_release,
	.read		= vb2_fop_read,
	.mmap		= vb2_fop_mmap,
	.poll		= vb2_fop_poll,
	.unlocked_ioctl	= video_ioctl2,
};

/* Nothing to do: streaming looks at the value when it begins. */
static int edu_s_ctrl(struct v4l2_ctrl *ctrl)
{
	return 0;
}

static const struct v4l2_ctrl_ops edu_ctrl_ops = {
	.s_ctrl = edu_s_ctrl,
};

static const struct v4l2_ctrl_config edu_seed = {
	.ops = &edu_ctrl_ops,
	.id = EDU_CID_SEED,
	.name = "Pattern Seed",
	.type = V4L2_CTRL_TYPE_INTEGER,
	.max = S32_MAX,
	.step = 1,
	.def = 1,
};

/* ---- coming and going ------------------------------------------------------ */

static int edu_setup_device(struct edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	struct device *dev = &pdev->dev;
	int ret;

	if (!mask_bits || mask_bits > 64)
		return -EINVAL;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	if ((readl(edu->regs + EDU_REG_ID) & EDU_ID_MASK) != EDU_ID)
		return -ENODEV;
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(mask_bits));
	if (ret)
		return ret;
	dma_set_contiguous(dev, contiguous);
	ret = vb2_dma_contig_set_max_seg_size(dev, UINT_MAX);
	if (ret)
		return ret;
	edu->pattern = dmam_alloc_coherent(dev, EDU_PATTERN, &edu->pattern_dma,
					   GFP_KERNEL);
	return edu->pattern ? 0 : -ENOMEM;
}

static int edu_setup_irq(struct edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_INTX);
	if (ret < 0)
		return ret;
	ret = request_threaded_irq(pci_irq_vector(pdev, 0), edu_irq,
				   edu_irq_thread, IRQF_SHARED, "video-edu", edu);
	if (ret)
		pci_free_irq_vectors(pdev);
	return ret;
}

static int edu_setup_queue(struct edu *edu)
{
	struct vb2_queue *q = &edu->queue;

	q->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	q->io_modes = VB2_MMAP | VB2_DMABUF | VB2_READ |
		      (userptr ? VB2_USERPTR : 0);
	q->dev = &edu->pdev->dev;
	q->drv_priv = edu;
	q->buf_struct_size = sizeof(struct edu_buffer);
	q->ops = &edu_vb2_ops;
	q->mem_ops = &vb2_dma_contig_memops;
	q->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	q->min_queued_buffers = 1;
	q->lock = &edu->lock;
	return vb2_queue_init(q);
}

static int edu_register(struct edu *edu)
{
	struct video_device *vdev = &edu->vdev;

	strscpy(vdev->name, "video-edu", sizeof(vdev->name));
	vdev->v4l2_dev = &edu->v4l2;
	vdev->queue = &edu->queue;
	vdev->lock = &edu->lock;
	vdev->fops = &edu_fops;
	vdev->ioctl_ops = &edu_ioctl_ops;
	vdev->release = video_device_release_empty;
	vdev->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_READWRITE |
			    V4L2_CAP_STREAMING;
	video_set_drvdata(vdev, edu);
	return video_register_device(vdev, VFL_TYPE_VIDEO, -1);
}

/* The last reference is gone. */
static void edu_release(struct v4l2_device *v4l2)
{
	struct edu *edu = container_of(v4l2, struct edu, v4l2);

	v4l2_ctrl_handler_free(&edu->ctrls);
	v4l2_device_unregister(v4l2);
	mutex_destroy(&edu->lock);
	kfree(edu);
}

static struct edu *edu_new(struct pci_dev *pdev)
{
	struct edu *edu = kzalloc(sizeof(*edu), GFP_KERNEL);

	if (!edu)
		return NULL;
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	spin_lock_init(&edu->slock);
	INIT_LIST_HEAD(&edu->todo);
	init_waitqueue_head(&edu->idle);
	edu->pix.width = edu_sizes[EDU_DEFAULT_SIZE].width;
	edu->pix.height = edu_sizes[EDU_DEFAULT_SIZE].height;
	edu_fill_format(&edu->pix);
	return edu;
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu = edu_new(pdev);
	int ret;

	if (!edu)
		return -ENOMEM;
	ret = v4l2_device_register(&pdev->dev, &edu->v4l2);
	if (ret) {
		kfree(edu);
		return ret;
	}
	edu->v4l2.release = edu_release;

	v4l2_ctrl_handler_init(&edu->ctrls, 1);
	edu->seed = v4l2_ctrl_new_custom(&edu->ctrls, &edu_seed, NULL);
	edu->v4l2.ctrl_handler = &edu->ctrls;
	ret = edu->ctrls.error ?: edu_setup_device(edu);
	if (ret)
		goto put;
	ret = edu_setup_irq(edu);
	if (ret)
		goto put;
	ret = edu_setup_queue(edu) ?: edu_register(edu);
	if (ret)
		goto irq;
	pci_set_drvdata(pdev, edu);
	return 0;

irq:
	free_irq(pci_irq_vector(pdev, 0), edu);
	pci_free_irq_vectors(pdev);
put:
	v4l2_device_put(&edu->v4l2);
	return ret;
}

/* Ends streaming, and with it what the device does. */
static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	vb2_video_unregister_device(&edu->vdev);
	free_irq(pci_irq_vector(pdev, 0), edu);
	pci_free_irq_vectors(pdev);
	v4l2_device_put(&edu->v4l2);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name		= "video-edu",
	.id_table	= edu_ids,
	.probe		= edu_probe,
	.remove		= edu_remove,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Video capture from QEMU's edu device");
MODULE_LICENSE("GPL");
