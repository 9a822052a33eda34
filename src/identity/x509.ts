// @peculiar/x509 needs the reflection polyfill in place before it is loaded.
import "reflect-metadata";

export * from "@peculiar/x509";
