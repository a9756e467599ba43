//! Embeds the built page anew when it changes.

fn main() {
    println!("cargo::rerun-if-changed=page/dist");
}
