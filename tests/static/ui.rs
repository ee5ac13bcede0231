//! Programs that must not compile, each with the compiler's message. `TRYBUILD=overwrite` writes the messages anew, after a
//! change of the compiler for example: read them as a user would before they are committed.

/// The same program without the mistake: each of the others is wrong in one thing only.
#[path = "ui/right.rs"]
mod right;

#[test]
fn the_right_program_compiles_and_builds() {
    right::main();
}

#[test]
fn wrong_programs_do_not_compile_and_the_message_says_why() {
    trybuild::TestCases::new().compile_fail("ui/wrong_*.rs");
}
