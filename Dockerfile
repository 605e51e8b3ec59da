# The quickstart with its WeChat simulator: docker compose up
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY . .
RUN cd examples && GOWORK=off CGO_ENABLED=0 go build -trimpath -o /quickstart ./quickstart

FROM alpine:3
COPY --from=build /quickstart /quickstart
USER nobody
EXPOSE 8080 8081
ENTRYPOINT ["/quickstart"]
CMD ["-addr", "0.0.0.0:8080", "-sim-addr", "0.0.0.0:8081"]
