# The targets that the documentation of CT-Ops names. Everything else is an npm script.
.PHONY: ingest dev-tls

ingest: | node_modules
	npm run build
	chmod +x dist/main.js
	ln -sf main.js dist/ingest

dev-tls: deploy/dev-tls/server.crt

# One that is there stays: agents use it as their CA file. The user of the container, 1001, reads the key.
deploy/dev-tls/server.crt: | dist/main.js
	node dist/main.js dev-tls --out deploy/dev-tls --san ingest
	chmod 644 deploy/dev-tls/server.key

dist/main.js: | node_modules
	npm run build

node_modules:
	npm ci
