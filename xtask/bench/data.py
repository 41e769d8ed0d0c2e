"""PyTorch's side of `cargo xtask bench data`, and the batches of `bench epoch`: the same files and the same augmentation, in the ways that are usual there.

    jpeg FOLDER    decode, resize to 64 × 64, flip, padded crop, standardise: DataLoader workers with albumentations and OpenCV
                   (`albumentations`), or torchvision's decoder and its v2 transforms (`torchvision`)
    memory         20,000 images of 32 × 32: padded crop, flip, standardise as one vectorised function of a batch (`vectorised`)

A call is a pass over all images in batches of 64, with as many workers as threads; on one thread without workers. Workers stay alive between passes, which PyTorch does not do unless it is asked to.
"""

import torch
import torch.nn.functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH, IMAGES, EPOCH = 64, 20_000, 2048
VARIANTS = {"jpeg": ["albumentations", "torchvision"], "memory": ["vectorised"]}


class Files(torch.utils.data.Dataset):
    """The files of a folder of class folders, each through one function."""

    def __init__(self, folder, read):
        from torchvision.datasets import ImageFolder
        self.samples, self.read = ImageFolder(folder).samples, read

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        return self.read(path), label


def with_albumentations():
    import albumentations as a
    import cv2
    from albumentations.pytorch import ToTensorV2
    cv2.setNumThreads(1)  # the workers are the threads
    change = a.Compose([a.Resize(64, 64, interpolation=cv2.INTER_LINEAR), a.HorizontalFlip(p=0.5), a.Pad(padding=8), a.RandomCrop(64, 64),
                        a.Normalize(MEAN, STD), ToTensorV2()])
    return lambda path: change(image=cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB))["image"]


def with_torchvision():
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms import v2
    change = v2.Compose([v2.Resize((64, 64), antialias=True), v2.RandomHorizontalFlip(), v2.RandomCrop(64, padding=8),
                         v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    return lambda path: change(decode_jpeg(read_file(path), ImageReadMode.RGB))


def jpeg(variant, folder):
    dataset = Files(folder, {"albumentations": with_albumentations, "torchvision": with_torchvision}[variant]())
    workers = torch.get_num_threads() if torch.get_num_threads() > 1 else 0
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)

    def one_pass():
        assert sum(len(images) for images, _ in loader) == len(dataset)
    return one_pass


def augmented(batch):
    """Padded crop, flip and standardisation of a batch of bytes."""
    n, c, h, w = batch.shape
    padded = F.pad(batch, (4, 4, 4, 4))
    rows = torch.randint(9, (n, 1)) + torch.arange(h)
    columns = torch.randint(9, (n, 1)) + torch.arange(w)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    index = torch.arange(n).view(n, 1, 1, 1), torch.arange(c).view(1, c, 1, 1), rows.view(n, 1, h, 1), columns.view(n, 1, 1, w)
    mean, std = (torch.tensor(values[:c]).view(1, c, 1, 1) for values in (MEAN, STD))
    return padded[index].float().mul_(1 / 255).sub_(mean).div_(std)


def memory(variant):
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)

    def one_pass():
        for indices in torch.randperm(IMAGES).split(BATCH):
            augmented(images[indices])
    return one_pass


def epoch(image, classes, batch):
    """A function that goes over images in memory, in an order of its own each time."""
    images, labels = torch.randint(0, 256, (EPOCH, *image), dtype=torch.uint8), torch.randint(classes, (EPOCH,))

    def batches():
        for indices in torch.randperm(EPOCH).split(batch):
            yield augmented(images[indices]), labels[indices]
    return batches


def data(words, kind, *folder):
    return {"jpeg": jpeg, "memory": memory}[kind](words[0], *folder)
