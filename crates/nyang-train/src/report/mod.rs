//! What one shows of a run: a page that opens in any browser, without a network; and curves as SVG.
//!
//! - [`HtmlReport`], a callback, writes `report.html` into the run's folder: curves, confusion matrix, scores of each class, the worst
//!   mistakes as pictures, what augmentation does, the configuration. One file below 2 MB with everything inside.
//! - [`LinePlot`] draws curves as SVG, for the report and for anything else: a learning-rate finder, a comparison.

mod examples;
mod html;
mod html_report;
mod page;
mod plot;
mod snapshot;

pub(crate) use examples::batch_grid;
pub use html_report::HtmlReport;
pub use plot::LinePlot;
