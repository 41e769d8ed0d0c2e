//! A list of images in a CSV file: paths, labels, and if it says so which part and group each belongs to.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::check_classes;
use crate::image_folder::file_sample;
use crate::{Dataset, Decode, Error, Part, Result, Sample, Source};

/// Which columns of a manifest mean what, and which classes there are. [`CsvManifest::open`] takes the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The image's path, relative to the manifest's folder or absolute. `path`.
    pub path: String,
    /// The class's name. `label`, or `class` where there is no column `label`.
    pub label: Option<String>,
    /// The part: `train`, `valid` (or `val`, `validation`), `test`. `split`, where there is such a column.
    pub split: Option<String>,
    /// What must stay together: a patient, a camera, a day. `group`, where there is such a column.
    pub group: Option<String>,
    /// The classes in their order. By default those that occur: by number if all are numbers, else by name.
    pub classes: Option<Vec<String>>,
}

impl Default for Columns {
    fn default() -> Self {
        Columns { path: "path".into(), label: None, split: None, group: None, classes: None }
    }
}

/// Images that a CSV file lists.
///
/// ```text
/// path,label,split,group          split and group may be missing; other columns are ignored
/// photos/0001.jpg,rose,train,7
/// photos/0002.jpg,tulip,test,9
/// ```
///
/// What a `split` column says is what [`Split::given`](crate::Split::given) does. Every other [`Split`](crate::Split) keeps what a `group`
/// column says together in one part.
///
/// ```no_run
/// use nyang_data::{CsvManifest, Dataset, Split};
///
/// let parts = CsvManifest::open("signs/manifest.csv")?.split(Split::given())?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CsvManifest {
    rows: Arc<[Row]>,
    classes: Arc<[String]>,
    decode: Decode,
}

#[derive(Clone, Debug)]
struct Row {
    path: Arc<Path>,
    label: usize,
    part: Option<Part>,
    group: Option<usize>,
}

impl CsvManifest {
    /// The manifest at `path`, with columns of the usual names.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, and [`Error::Manifest`] with the line for: no header with the columns, a row that is too short
    /// or not UTF-8, an empty label, a label that is not in the list of classes, an unknown part, a file that does not exist or comes
    /// twice, a group in two parts. [`Error::Empty`] for no rows; [`Error::NoClasses`], [`Error::DuplicateClass`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        CsvManifest::open_with(path, &Columns::default())
    }

    /// The manifest at `path`, with these columns.
    ///
    /// # Errors
    /// As [`CsvManifest::open`].
    pub fn open_with(path: impl AsRef<Path>, columns: &Columns) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
        let mut reader = csv::Reader::from_reader(file);
        let wrong = |line: u64, why: String| Error::Manifest { path: path.to_path_buf(), line, why };
        let header = reader.headers().map_err(|e| wrong(1, e.to_string()))?;
        let places = Places::find(header, columns).map_err(|why| wrong(1, why))?;
        let mut lines = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| wrong(e.position().map_or(0, csv::Position::line), e.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            lines.push(Line::of(&record, &places, line).map_err(|why| wrong(line, why))?);
        }
        if lines.is_empty() {
            return Err(Error::Empty { op: "CsvManifest" });
        }
        let classes = columns.classes.clone().unwrap_or_else(|| classes_of(&lines));
        check_classes(&classes)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let rows = rows(&lines, &classes, folder).map_err(|(line, why)| wrong(line, why))?;
        Ok(CsvManifest { rows: rows.into(), classes: classes.into(), decode: Decode::new() })
    }

    /// How the files are decoded: channels, EXIF, limits.
    pub fn decode(mut self, decode: Decode) -> Self {
        self.decode = decode;
        self
    }

    /// Each file and its label.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.rows.iter().map(|row| (&*row.path, row.label))
    }

    fn at(&self, index: usize) -> Result<&Row> {
        self.rows.get(index).ok_or(Error::Index { index, len: self.rows.len() })
    }
}

/// Where in a row what stands.
struct Places {
    path: usize,
    label: usize,
    split: Option<usize>,
    group: Option<usize>,
}

impl Places {
    fn find(header: &csv::StringRecord, columns: &Columns) -> Result<Self, String> {
        let place = |name: &str| header.iter().position(|column| column.trim() == name);
        let needed = |name: &str| {
            let seen = header.iter().collect::<Vec<_>>().join(", ");
            place(name).ok_or_else(|| format!("no column is named `{name}` in the header, which is: {seen}"))
        };
        let optional = |given: &Option<String>, usual: &str| given.as_ref().map_or(Ok(place(usual)), |name| needed(name).map(Some));
        let label = match &columns.label {
            Some(name) => needed(name)?,
            None => place("class").filter(|_| place("label").is_none()).map_or_else(|| needed("label"), Ok)?,
        };
        Ok(Places {
            path: needed(&columns.path)?,
            label,
            split: optional(&columns.split, "split")?,
            group: optional(&columns.group, "group")?,
        })
    }
}

/// A row as it stands in the file.
struct Line {
    number: u64,
    path: String,
    label: String,
    part: Option<Part>,
    group: Option<String>,
}

impl Line {
    fn of(record: &csv::StringRecord, places: &Places, number: u64) -> Result<Self, String> {
        let cell = |place: usize| record.get(place).unwrap_or_default().trim().to_owned(); // rows are as long as the header
        let filled = |place: usize, what: &str| Some(cell(place)).filter(|cell| !cell.is_empty()).ok_or(format!("the {what} is empty"));
        let part = |place: usize| {
            let name = cell(place);
            Part::named(&name).ok_or_else(|| format!("`{name}` is no part; write train, valid or test"))
        };
        Ok(Line {
            number,
            path: filled(places.path, "path")?,
            label: filled(places.label, "label")?,
            part: places.split.map(part).transpose()?,
            group: places.group.map(|place| filled(place, "group")).transpose()?,
        })
    }
}

/// The labels that occur: by number if all are numbers, else by name.
fn classes_of(lines: &[Line]) -> Vec<String> {
    let names: BTreeSet<&str> = lines.iter().map(|line| line.label.as_str()).collect();
    let mut classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let numbers: Option<Vec<u64>> = classes.iter().map(|name| name.parse().ok()).collect();
    if numbers.is_some() {
        classes.sort_by_key(|name| name.parse::<u64>().unwrap_or_default()); // stable, so 1 and 01 stay in order
    }
    classes
}

/// The rows with numbers for names; or the line that is wrong, and why.
fn rows(lines: &[Line], classes: &[String], folder: &Path) -> Result<Vec<Row>, (u64, String)> {
    let labels: HashMap<&str, usize> = classes.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut seen: HashMap<PathBuf, u64> = HashMap::new();
    let mut groups: HashMap<&str, (usize, Option<Part>, u64)> = HashMap::new();
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let wrong = |why: String| Err((line.number, why));
        let Some(&label) = labels.get(line.label.as_str()) else {
            return wrong(format!("`{}` is not in the list of classes, {}", line.label, classes.join(", ")));
        };
        let path = folder.join(&line.path);
        if !path.try_exists().unwrap_or(true) {
            return wrong(format!("there is no file {}", path.display()));
        }
        if let Some(first) = seen.insert(path.clone(), line.number) {
            return wrong(format!("{} is in line {first} already", line.path));
        }
        let next = groups.len();
        let group = line.group.as_deref().map(|name| (name, *groups.entry(name).or_insert((next, line.part, line.number))));
        if let Some((name, (_, part, first))) = group
            && part != line.part
        {
            return wrong(format!("group `{name}` is in another part in line {first}; a group belongs to one part"));
        }
        rows.push(Row { path: path.into(), label, part: line.part, group: group.map(|(_, (number, ..))| number) });
    }
    Ok(rows)
}

impl Dataset for CsvManifest {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let row = self.at(index)?;
        file_sample(&row.path, row.label, &self.decode)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Result<usize> {
        Ok(self.at(index)?.label)
    }

    fn source(&self, index: usize) -> Source {
        self.at(index).map_or(Source::item("manifest", index), |row| Source::File(row.path.clone()))
    }

    fn part(&self, index: usize) -> Option<Part> {
        self.rows.get(index)?.part
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.rows.get(index)?.group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a manifest of this text, and the files a.png to d.png.
    fn manifest(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png", "c.png", "d.png"] {
            ::image::RgbImage::new(2, 2).save(folder.path().join(name)).unwrap();
        }
        let path = folder.path().join("list.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn open(text: &str) -> Result<CsvManifest> {
        let (_folder, path) = manifest(text.as_bytes());
        CsvManifest::open(path)
    }

    #[test]
    fn rows_are_samples_with_part_and_group() {
        let (_folder, path) = manifest(
            "\u{feff}path, label ,split,size,group\na.png,dog,train,9,x\nb.png,cat,val,9,y\n\"c.png\",dog,test,9,z\nd.png,dog,train,9,x\n"
                .as_bytes(),
        );
        let set = CsvManifest::open(path).unwrap();
        assert_eq!((set.classes(), set.class_counts().unwrap()), (&["cat".to_owned(), "dog".to_owned()][..], vec![1, 3]));
        assert_eq!((0..4).map(|i| set.part(i).unwrap()).collect::<Vec<_>>(), [Part::Train, Part::Valid, Part::Test, Part::Train]);
        assert_eq!((0..4).map(|i| set.group(i).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 0]);
        let sample = set.get(1).unwrap();
        assert!(sample.label == 0 && sample.image.height() == 2 && sample.source.path().unwrap().ends_with("b.png"));
        assert!(set.get(4).is_err() && set.part(4).is_none());
    }

    #[test]
    fn classes_that_are_numbers_are_in_the_order_of_the_numbers() {
        let set = open("path,class\na.png,10\nb.png,9\nc.png,0\n").unwrap();
        assert_eq!((set.classes().join(" "), set.label(0).unwrap(), set.part(0), set.group(0)), ("0 9 10".into(), 2, None, None));
    }

    #[test]
    fn columns_and_classes_may_be_named() {
        let (_folder, path) = manifest(b"file,species,fold\na.png,dog,test\n");
        let columns = Columns {
            path: "file".into(),
            label: Some("species".into()),
            split: Some("fold".into()),
            classes: Some(vec!["eel".into(), "dog".into()]),
            ..Columns::default()
        };
        let set = CsvManifest::open_with(&path, &columns).unwrap();
        assert_eq!((set.label(0).unwrap(), set.part(0)), (1, Some(Part::Test)));
        let columns = Columns { classes: Some(vec!["cat".into(), "eel".into()]), ..columns };
        let error = CsvManifest::open_with(&path, &columns).unwrap_err().to_string();
        assert!(error.ends_with("list.csv, line 2: `dog` is not in the list of classes, cat, eel"), "{error}");
    }

    #[test]
    fn bad_manifests_are_errors_with_the_line() {
        let cases = [
            ("a.png,dog\nb.png,cat\n", "line 1: no column is named `label` in the header, which is: a.png, dog"),
            ("file,label\na.png,dog\n", "line 1: no column is named `path`"),
            ("path,label\na.png,dog\nb.png\n", "line 3: CSV error"),
            ("path,label\na.png,dog\nz.png,cat\n", "line 3: there is no file"),
            ("path,label\na.png,dog\nb.png,\n", "line 3: the label is empty"),
            ("path,label\n,dog\n", "line 2: the path is empty"),
            ("path,label,split\na.png,dog,dev\n", "line 2: `dev` is no part; write train, valid or test"),
            ("path,label\na.png,dog\nb.png,cat\na.png,cat\n", "line 4: a.png is in line 2 already"),
            ("path,label,split,group\na.png,dog,train,7\nb.png,cat,test,7\n", "line 3: group `7` is in another part in line 2"),
            ("path,label\n", "CsvManifest needs at least one sample"),
            ("", "line 1: no column is named `label`"),
        ];
        for (text, said) in cases {
            let error = open(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
        let (_folder, path) = manifest(b"path,label\na.png,\xff\xfe\n");
        assert!(CsvManifest::open(&path).unwrap_err().to_string().contains("line 2: CSV parse error"), "{:?}", CsvManifest::open(&path));
        assert!(matches!(CsvManifest::open(path.with_extension("none")), Err(Error::File { .. })));
    }
}
