//! The sets that everyone knows, with the counts that are published.
//!
//! They are not part of this repository. `NYANG_DATA=FOLDER cargo test -p nyang-data --test real_data` reads them in `FOLDER/mnist`,
//! `fashion-mnist`, `cifar10`, `sign-digits`; what is missing is skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may fail loudly, and says what it skips

use std::path::PathBuf;

use nyang_data::{Batch, Cifar10, CsvManifest, Dataset, HorizontalFlip, Idx, ImageFolder, Part, Split, TrivialAugmentWide, transforms};

fn folder(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NYANG_DATA").map(|root| PathBuf::from(root).join(name)).filter(|folder| folder.is_dir());
    if folder.is_none() {
        println!("skipped: NYANG_DATA does not name a folder with {name}");
    }
    folder
}

#[test]
fn mnist_and_fashion_mnist_have_their_counts() {
    if let Some(folder) = folder("mnist") {
        let (train, test) = (Idx::train(&folder).unwrap(), Idx::test(&folder).unwrap());
        assert_eq!(train.class_counts().unwrap(), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(test.class_counts().unwrap(), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
        assert_eq!((&train.labels()[..5], train.get(0).unwrap().image.height()), (&[5, 0, 4, 1, 9][..], 28));
        let mean = train.tensor().unwrap().mean();
        assert!((mean - 0.1307).abs() < 5e-5, "{mean}"); // what everyone normalises with
    }
    if let Some(folder) = folder("fashion-mnist") {
        let (train, test) = (Idx::train(&folder).unwrap().with_classes(Idx::FASHION_MNIST).unwrap(), Idx::test(&folder).unwrap());
        assert_eq!((train.class_counts().unwrap(), test.class_counts().unwrap()), (vec![6000; 10], vec![1000; 10]));
        assert_eq!(train.classes()[train.label(0).unwrap()], "Ankle boot");
        let mean = train.tensor().unwrap().mean();
        assert!((mean - 0.2860).abs() < 5e-5, "{mean}");
    }
}

#[test]
fn cifar_is_read_from_its_binary_form() {
    let Some(folder) = folder("cifar10") else { return };
    let set = Cifar10::open(&[folder.join("test_batch_2000.bin.gz")]).unwrap();
    assert_eq!((set.len(), set.class_counts().unwrap().iter().sum::<usize>(), set.classes().len()), (2000, 2000, 10));
    let mean = set.tensor().unwrap().mean();
    assert!((mean - 0.473).abs() < 0.02, "{mean}"); // the mean of the three channels of CIFAR-10: 0.4914, 0.4822, 0.4465
}

#[test]
fn sign_digits_keep_their_parts_and_groups() {
    let Some(folder) = folder("sign-digits") else { return };
    let set = CsvManifest::open(folder.join("manifest.csv")).unwrap();
    let counts = [205, 206, 206, 206, 207, 207, 207, 206, 208, 204];
    assert_eq!((set.class_counts().unwrap(), set.classes().join("")), (counts.to_vec(), "0123456789".into()));
    let parts = Split::given().apply(set).unwrap();
    let test: Vec<usize> = parts.report().counts.iter().map(|[_, _, test]| *test).collect();
    assert_eq!(test, [30, 31, 31, 31, 32, 32, 31, 32, 30, 31]);

    let further = Split::stratified(0.8, 0.2, 0.0).seed(1).apply(parts.train).unwrap();
    let groups = |part: Part| (0..further.part(part).len()).map(|i| further.part(part).group(i).unwrap()).collect::<Vec<_>>();
    assert!(groups(Part::Valid).iter().all(|group| !groups(Part::Train).contains(group)));
    println!("{}", further.report());

    let images = ImageFolder::open(folder.join("images")).unwrap();
    assert_eq!((images.class_counts().unwrap(), images.len()), (counts.to_vec(), 2062));
    let parts = Split::stratified(0.5, 0.25, 0.25).apply(images).unwrap();
    assert_eq!(parts.duplicates().unwrap(), []); // as the set's makers say
}

#[test]
fn batches_of_photographs_are_the_same_for_any_number_of_workers_and_another_epoch_looks_different() {
    let Some(folder) = folder("sign-digits") else { return };
    let batches = |workers: usize, cache: u64, epoch: u64, from: usize| -> Vec<Batch> {
        let parts = CsvManifest::open(folder.join("manifest.csv")).unwrap().split(Split::given()).unwrap();
        let vary = transforms![HorizontalFlip::new(0.5), TrivialAugmentWide::new()];
        let data = parts.resize(32).augment_train(vary).workers(workers).cache(cache).seed(3).loaders(64).unwrap();
        data.train.epoch_from(epoch, from).map(Result::unwrap).collect()
    };
    let alone = batches(0, 0, 0, 0);
    for (workers, cache) in [(1, 1 << 20), (4, 1 << 30)] {
        assert!(batches(workers, cache, 0, 0) == alone, "{workers} workers");
    }
    assert!(batches(2, 1 << 30, 0, 20)[..] == alone[20..]);
    assert!(batches(2, 1 << 30, 1, 0)[0].images != alone[0].images);
}
