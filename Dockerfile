# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN rustup component add llvm-tools && scripts/package --program-only \
  && install -d -m 700 -o 65532 -g 65532 /root-of-image/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/dist/onceward /usr/bin/onceward
# The owner of a new volume is that of this directory.
COPY --from=build --chown=65532:65532 --chmod=700 /root-of-image/data /var/lib/onceward
ENV ONCEWARD_DATA_DIR=/var/lib/onceward ONCEWARD_LOG_FORMAT=json
VOLUME /var/lib/onceward
# A config.json may be mounted here.
WORKDIR /etc/onceward
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/bin/onceward", "health"]
ENTRYPOINT ["/usr/bin/onceward"]
