# Keycloak with its build step done, so that it starts on a read-only root.
FROM quay.io/keycloak/keycloak:26.4 AS build
ENV KC_DB=postgres KC_HEALTH_ENABLED=true
RUN /opt/keycloak/bin/kc.sh build

FROM quay.io/keycloak/keycloak:26.4
COPY --from=build /opt/keycloak/ /opt/keycloak/
USER 1000:0
ENTRYPOINT ["/opt/keycloak/bin/kc.sh"]
