import { mkdir, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { makeDirectory } from "../../dist/lib/make-directory.js";
import { makeDirectory as makeTestDirectory } from "../support/service.js";

t.test("makes what is missing, with its mode, and leaves what is there", async (t) => {
  const directory = await makeTestDirectory(t);
  await makeDirectory(join(directory, "a/b/c"), 0o700);
  t.equal((await stat(join(directory, "a/b/c"))).mode & 0o777, 0o700);
  await writeFile(join(directory, "a/b/file"), "");
  await Promise.all([1, 2, 3].map(() => makeDirectory(join(directory, "a/b/x/y"))));
  t.same(await readdir(join(directory, "a/b")), ["c", "file", "x"]);
  await mkdir(join(directory, "real"));
  await symlink("real", join(directory, "link"));
  await makeDirectory(join(directory, "link"));
  await makeDirectory(join(directory, "link/below"));
  t.same(await readdir(join(directory, "real")), ["below"]);
  await makeDirectory(`${directory}/trailing/`);
  await makeDirectory("/");
  await makeDirectory(".");
});

t.test("nobody else may write in what is made, whatever the umask", async (t) => {
  const directory = await makeTestDirectory(t);
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  await makeDirectory(join(directory, "a/b"));
  for (const made of ["a", "a/b"]) t.equal((await stat(join(directory, made))).mode & 0o777, 0o755, made);
});

t.test("many may make the same directory at one time", async (t) => {
  const directory = await makeTestDirectory(t);
  for (let round = 0; round < 100; round++) {
    const made = Array.from({ length: 8 }, () => makeDirectory(join(directory, `${round}/a/b/c/d`)));
    for (const { status } of await Promise.allSettled(made)) if (status === "rejected") t.fail("could not be made");
  }
  t.equal((await readdir(directory)).length, 100);
});

t.test("what cannot be made is an error, at once", async (t) => {
  const directory = await makeTestDirectory(t);
  await writeFile(join(directory, "file"), "");
  await symlink("nowhere", join(directory, "dangling"));
  for (const path of ["/proc/ct-ops", "/proc/ct-ops/a/b", "/proc/self/ct-ops", "/dev/null/a"]) {
    await t.rejects(makeDirectory(path), { code: /ENOENT|ENOTDIR/ }, path);
  }
  await t.rejects(makeDirectory("/sys/ct-ops"), { code: /EPERM|EACCES|EROFS|ENOENT/ });
  await t.rejects(makeDirectory(join(directory, "file")), { code: "EEXIST" });
  await t.rejects(makeDirectory(join(directory, "file/a")), { code: "ENOTDIR" });
  await t.rejects(makeDirectory(join(directory, "dangling")), { code: "EEXIST" });
  await t.rejects(makeDirectory(join(directory, "a".repeat(300))), { code: "ENAMETOOLONG" });
});
