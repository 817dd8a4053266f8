# syntax=docker/dockerfile:1
# Bulkhead in a container: node, production dependencies, the program, the model. Nothing is compiled or downloaded
# at run time, and only BULKHEAD_DATA and /tmp are written, so the root may be read-only:
#   docker build -t bulkhead:0.1.0 .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -v bulkhead:/var/lib/bulkhead -p 127.0.0.1:8080:8080 bulkhead:0.1.0
# The demo company is no part of it: docker build --target demo -t bulkhead:demo .

# glibc, since the embedding runtime is not built for musl
FROM node:20-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev \
 && rm -rf node_modules/onnxruntime-node/bin/napi-v6/darwin node_modules/onnxruntime-node/bin/napi-v6/win32

FROM node:20-bookworm-slim AS base
# node as process 1 would ignore a SIGTERM that comes before its handlers are in place
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini=0.19.* \
 && rm -rf /var/lib/apt/lists/* /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx \
 && groupadd --gid 10001 bulkhead \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin bulkhead \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/bulkhead
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json tsconfig.json LICENSE ./
COPY bin bin
COPY migrations migrations
COPY models models
COPY src src
ENV BULKHEAD_HOST=0.0.0.0 PORT=8080 BULKHEAD_DATA=/var/lib/bulkhead
LABEL org.opencontainers.image.title="Bulkhead" \
      org.opencontainers.image.description="Permission-aware retrieval for RAG" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
USER 10001:10001
VOLUME /var/lib/bulkhead
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["sh", "-c", "exec node /app/bin/healthcheck.mjs http${BULKHEAD_TLS_CERT:+s}://127.0.0.1:${PORT}/readyz"]
ENTRYPOINT ["tini", "--", "node", "/app/bin/bulkhead.mjs"]
CMD ["serve"]

FROM base AS demo
COPY fixtures fixtures
ENV NODE_ENV=development

FROM base AS production
USER 0:0
RUN rm -rf /app/src/dev
USER 10001:10001
ENV NODE_ENV=production
